-- jsonb: literals, operators, functions.
select '{"a":1,"b":[1,2,{"c":null}]}'::jsonb;
select '{"b":1,"a":2,"aa":3}'::jsonb;
select '{"a":1, "a":2}'::jsonb;
select '{"a":1}'::json;
select '[1,2.50,1e3,true,null,"x"]'::jsonb;
select '{"a":{"b":5}}'::jsonb -> 'a';
select '{"a":{"b":5}}'::jsonb -> 'a' -> 'b';
select '{"a":{"b":5}}'::jsonb ->> 'a';
select '{"a":"text"}'::jsonb ->> 'a';
select '{"a":null}'::jsonb ->> 'a';
select '{"a":null}'::jsonb -> 'a';
select '[10,20,30]'::jsonb -> 1;
select '[10,20,30]'::jsonb -> -1;
select '[10,20,30]'::jsonb ->> 2;
select '[10,20,30]'::jsonb -> 7;
select '{"a":[1,{"b":"x"}]}'::jsonb #> '{a,1,b}';
select '{"a":[1,{"b":"x"}]}'::jsonb #>> '{a,1,b}';
select '{"a":[1,{"b":"x"}]}'::jsonb #>> '{a,-1}';
select '{"a":1,"b":2}'::jsonb @> '{"a":1}';
select '{"a":1}'::jsonb <@ '{"a":1,"b":2}';
select '[1,2,3]'::jsonb @> '[3,1]';
select '[1,2,3]'::jsonb @> '3';
select '{"a":{"b":1,"c":2}}'::jsonb @> '{"a":{"b":1}}';
select '{"a":1,"b":2}'::jsonb ? 'a';
select '["x","y"]'::jsonb ? 'y';
select '{"a":1,"b":2}'::jsonb ?| array['x','b'];
select '{"a":1,"b":2}'::jsonb ?& array['a','b'];
select '{"a":1,"b":2}'::jsonb ?& array['a','x'];
select '{"a":1}'::jsonb || '{"b":2}';
select '[1]'::jsonb || '[2]';
select '[1]'::jsonb || '2';
select '{"a":1,"b":2}'::jsonb - 'a';
select '["a","b","a"]'::jsonb - 'a';
select '[1,2,3]'::jsonb - 1;
select '{"a":1,"b":2,"c":3}'::jsonb - array['a','c'];
select '{"a":{"b":1,"c":2}}'::jsonb #- '{a,b}';
select '[1,[2,3]]'::jsonb #- '{1,0}';
select jsonb_build_object('a', 1, 'b', 'x', 'c', null);
select jsonb_build_array(1, 'x', true, null, 2.5);
-- differs: values of json are shown as those of jsonb, and JSON functions answer with jsonb
select json_build_object('a', 1, 'b', array[1,2]);
-- differs: values of json are shown as those of jsonb, and JSON functions answer with jsonb
select json_build_array(1, 'x');
select jsonb_object('{a,1,b,2}');
select jsonb_object(array['a','b'], array['1','2']);
select to_jsonb(42);
select to_jsonb('text'::text);
select to_jsonb(array[1,2,3]);
select to_jsonb(date '2020-01-02');
-- differs: a timestamp without zone has an unknown offset in Ion
select to_jsonb(timestamp '2020-01-02 03:04:05');
-- differs: values of json are shown as those of jsonb, and JSON functions answer with jsonb
select to_json(1.50);
-- differs: values of json are shown as those of jsonb, and JSON functions answer with jsonb
select row_to_json(x) from (select 1 as a, 'b' as b) x;
select to_jsonb(x) from (select 1 as a, 'b' as b, null as c) x;
select jsonb_agg(v) from (values (1), (2), (null)) t(v);
-- differs: values of json are shown as those of jsonb, and JSON functions answer with jsonb
select json_agg(v order by v desc) from (values (1), (3), (2)) t(v);
select jsonb_object_agg(k, v) from (values ('a', 1), ('b', 2)) t(k, v);
select jsonb_agg(x) from (select 1 as a, 'b' as b) x;
select jsonb_set('{"a":1}', '{a}', '2');
select jsonb_set('{"a":1}', '{b}', '2');
select jsonb_set('{"a":1}', '{b}', '2', false);
select jsonb_set('{"a":[1,2]}', '{a,0}', '"x"');
select jsonb_set_lax('{"a":1}', '{a}', null);
select jsonb_insert('{"a":[1,2]}', '{a,1}', '9');
select jsonb_insert('{"a":[1,2]}', '{a,1}', '9', true);
select jsonb_strip_nulls('{"a":null,"b":{"c":null,"d":1}}');
select jsonb_pretty('{"a":[1,2]}');
select jsonb_typeof('1'), jsonb_typeof('"x"'), jsonb_typeof('null'), jsonb_typeof('[]'), jsonb_typeof('{}'), jsonb_typeof('true');
select jsonb_array_length('[1,2,3]');
select jsonb_array_length('{"a":1}');
select * from jsonb_array_elements('[1,"x",null]');
select * from jsonb_array_elements_text('[1,"x",null]');
select * from jsonb_each('{"a":1,"b":"x"}');
select * from jsonb_each_text('{"a":1,"b":"x"}');
select * from jsonb_object_keys('{"b":1,"a":2}');
-- differs: JSON functions answer with jsonb
select * from json_array_elements('[1,2]');
-- differs: JSON functions answer with jsonb
select * from json_each('{"b":1,"a":2}');
select jsonb_extract_path('{"a":{"b":1}}', 'a', 'b');
select jsonb_extract_path_text('{"a":{"b":"x"}}', 'a', 'b');
select ('{"a":1}'::jsonb -> 'a')::int;
select ('{"a":1.5}'::jsonb -> 'a')::numeric;
select ('{"a":true}'::jsonb -> 'a')::boolean;
select ('{"a":"x"}'::jsonb -> 'a')::int;
select '{"a":1}'::jsonb = '{"a":1.0}'::jsonb;
select '1'::jsonb < '2'::jsonb, '"a"'::jsonb < '1'::jsonb, '[]'::jsonb < '{}'::jsonb;
select '{"a":1}'::jsonb::text;
select '{bad'::jsonb;
select '"\u0041\n"'::jsonb;
select '"\u0041\n"'::jsonb #>> '{}';
select '{"a":1}'::jsonb['a'];
select 'null'::jsonb is null;
select count(*) from jsonb_array_elements('[]');
-- differs: JSON path is missing
select jsonb_path_exists('{"a":[1,2,3]}', '$.a[*] ? (@ > 2)');
select key, value from jsonb_each('{"a":1}') where key = 'a';
select e->>'n' as n from jsonb_array_elements('[{"n":1},{"n":2}]') as e order by 1;
-- differs: a list of column definitions is refused
select * from jsonb_to_recordset('[{"a":1,"b":"x"},{"a":2}]') as t(a int, b text);
-- differs: a list of column definitions is refused
select * from jsonb_to_record('{"a":1,"b":"x"}') as t(a int, b text);
select jsonb_set('{"a":{"b":1}}', array['a','b'], '2'), jsonb_insert('[1,2]', array['1'], '9', true);
with recursive r(j, d) as (select '[1]'::jsonb, 1 union all select jsonb_set(j, array_fill('0'::text, array[d]), j), d * 2 from r where d < 64) select d from r order by d;
-- differs: values are at most 128 deep
with recursive r(j, d) as (select '[1]'::jsonb, 1 union all select jsonb_set(j, array_fill('0'::text, array[d]), j), d * 2 from r where d < 256) select d from r order by d;
-- differs: values are at most 128 deep
with recursive r(j, d) as (select '1'::jsonb, 1 union all select jsonb_build_array(j), d + 1 from r where d < 300) select max(d) from r;
-- differs: values are at most 128 deep
with recursive r(j, d) as (select '1'::jsonb, 1 union all select to_jsonb(array[j]), d + 1 from r where d < 300) select max(d) from r;
create table js (id int, j jsonb);
insert into js select row_number() over (), v::jsonb from (values ('""'), ('"a"'), ('"b"'), ('"aa"'), ('-1'), ('0'), ('1.5'), ('10'), ('false'), ('true'), ('[]'), ('[1]'), ('["z"]'), ('[1, 2]'), ('[[]]'), ('{}'), ('{"a": 1}'), ('{"b": 0}'), ('{"aa": 5}'), ('{"a": 1, "b": 2}'), ('{"a": "x"}'), ('[null]'), ('[true, false]'), ('[{}]')) t(v);
insert into js values (100, null);
select j from js order by j;
select id from js order by j desc;
select id, j from js order by 2 nulls first;
select distinct j from js order by j desc;
select distinct on (j) j, id from js order by j, id desc;
select j from js union all select '{"c": 1}' order by j;
select j, count(*) from js group by j order by j;
select id, rank() over (order by j) from js order by id;
select jsonb_agg(j order by j) from js where j < '0';
select array_agg(id order by j desc, id) from js;
select id from js where j < '"b"' order by id;
select id from js where j >= '{}' order by id;
select id from js where j between '1' and '[1]' order by id;
select count(*) from js a, js b where a.j < b.j;
select count(*) from js a, js b where a.j <= b.j and b.j <= a.j;
select '1'::jsonb < '2', '"a"'::jsonb < '1'::jsonb, '[]'::jsonb < 'null'::jsonb, '[[]]'::jsonb > '[null]'::jsonb, 'null'::jsonb >= '[]';
select j from js order by j fetch first 3 rows with ties;
create index js_j on js (j);
select id from js where j > '10' order by j, id;
select j from js order by j limit 5;
drop table js;
select to_timestamp(('{"n": 1588748889}'::jsonb ->> 'n')::float8);
