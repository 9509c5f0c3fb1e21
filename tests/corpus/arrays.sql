-- Arrays.
select array[1,2,3];
-- differs: the column of a cast to an array has another name
select '{1,2,3}'::int[];
-- differs: the column of a cast to an array has another name
select '{a,"b c",NULL,"null","q\"x"}'::text[];
select array['a','b c',null,'null',''];
select array[1.5,2];
select array[true,false];
select array[]::int[];
select array[[1,2],[3,4]];
-- differs: the column of a cast to an array has another name
select '{{1,2},{3,4}}'::int[];
-- differs: the column of a cast to an array has another name
select ('{10,20,30}'::int[])[2];
select (array['a','b'])[1], (array['a','b'])[5];
select (array[1,2,3,4])[2:3];
select (array[[1,2],[3,4]])[2][1];
select (array[1,2,3,4])[2:], (array[1,2,3,4])[:2], (array[1,2,3,4])[:], (array[1,2,3])[2:9], (array[1,2,3])[-5:1], (array[1,2,3])[3:2], (array[1,2,3])[5:6];
select (array[1,2,3])[null:2], (null::int[])[1:2] as n, (array[1,2,3])[1:2][1:1];
select (array[[1,2,3],[4,5,6]])[1:2][2:3], (array[[1,2,3],[4,5,6]])[2:2], (array[[1,2,3],[4,5,6]])[:1][:2], (array[[1,2],[3,4]])[1:1][5:6], (array[[1,2],[3,4]])[2][1:1];
select (array[[1,2],[3,4]])[3][1], (array[[1,2],[3,4]])[1][0], (array[1,2])[1][1], (array[[[1,2],[3,4]],[[5,6],[7,8]]])[2][1][2], (array[['a','b'],['c',null]])[2][2];
select x[2:3] from (values (array['a','b','c'])) t(x);
select x[1:2][1], x[1][2] from (values (array[array[1,2],array[3,4]])) t(x);
select array[1,2] || array[3];
select array[1,2] || 3;
select 0 || array[1,2];
select array_append(array[1,2], 3), array_prepend(0, array[1,2]), array_cat(array[1], array[2]);
select array_length(array[1,2,3], 1), array_length(array[]::int[], 1), cardinality(array[1,2,3]);
select array_ndims(array[[1,2],[3,4]]), array_dims(array[[1,2],[3,4]]);
select array_lower(array[1,2], 1), array_upper(array[1,2], 1);
select array_position(array['a','b','c'], 'b'), array_position(array[1,2], 9);
select array_positions(array[1,2,1], 1);
select array_remove(array[1,2,1], 1), array_replace(array[1,2,1], 1, 5);
select array_to_string(array[1,2,null,3], ','), array_to_string(array[1,null], ',', '*');
select string_to_array('a,b,,c', ',');
select string_to_array('a,b,,c', ',', '');
select string_to_array('abc', null);
select string_to_array('a,b', ''), string_to_array('', ','), string_to_array(null, ','), string_to_array('a,x,b', ',', 'x'), string_to_array('axb', null, 'x'), string_to_array('éa', null), string_to_array('a', ',', null);
-- differs: the column has the name of the function that the operator or form stands for
select array[1,2,3] @> array[2], array[1] <@ array[1,2], array[1,2] && array[2,5];
select array[1,2] = array[1,2], array[1,2] < array[1,3], array[1] <> array[2];
select 2 = any(array[1,2,3]), 5 = any(array[1,2,3]), 1 < all(array[2,3]);
select null = any(array[1,2]), 1 = any(array[2,null]);
select 1 = any('{1,2}'::int[]);
select 'a' = any('{a,b}');
select unnest(array[3,1,2]);
-- differs: unnest() of several arrays is missing
select * from unnest(array[1,2], array['a','b','c']) as t(x, y);
select * from unnest(array['x','y']) with ordinality as t(v, n);
select array_agg(v) from (values (1),(2),(null)) t(v);
select array_agg(v order by v desc) from (values (1),(2),(3)) t(v);
select array_agg(distinct v) from (values (1),(2),(1)) t(v);
select array(select v from (values (3),(1),(2)) t(v) order by v);
select array_fill(7, array[3]);
select trim_array(array[1,2,3,4], 2);
select generate_subscripts(array[5,6,7], 1);
select '{1,x}'::int[];
select '{1,2'::int[];
select array[1,'x'];
select array[1,2]::text[];
select '{1,2}'::int[]::text;
select array['2020-01-01'::date];
select array[1.5::float8, 'NaN'::float8];
select array['\x01'::bytea];
select array[null]::text[];
-- differs: pg_typeof() answers with text
select pg_typeof(array[1,2]), pg_typeof(array['a']), pg_typeof(array[1.5]);
select x from (values (array[2,1]), (array[1,9]), (array[1])) t(x) order by x;
select count(*) from unnest('{}'::int[]);
select v in (1,2) from unnest(array[1,3]) v;
select ('{a,b}'::_text)[2], cast('{1,2}' as _int4) = array[1, 2], '{}'::pg_catalog._numeric = '{}'::numeric[];
select '{a}'::_nosuch;
select array_remove(array[1,2,3], '2'), array_position(array[1,2], '2'), array_append(array[1], '2'), array_prepend('1', array[2]);
select array_cat(array[1], '{2}'), array_replace(array[1,2], '1', '7'), array_positions(array[2,1,2], '2');
select array_remove(array[1,2], 'x');
select count(*) from (values (array[1,2]), (array[3])) t(a) where a && '{2}';
select count(*) from (values (array[1,2]), (array[3])) t(a) where not ('{1}' && a);
select count(*) from (values (array[1,2])) t(a) where a && '{bad}';
select count(*) from (values (array[date '2020-01-01'])) t(a) where a && '{2020-01-01}';
select count(*) from (values (array[1.50])) t(a) where a && '{1.5}';
