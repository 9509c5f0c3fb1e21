-- Text functions and operators.
select 'a' || 'b', 'a' || 1, 1 || 'a', 'a' || null;
select length('héllo'), char_length('abc'), octet_length('héllo'), bit_length('abc');
select upper('abc'), lower('ABC'), initcap('hello wORLD foo-bar');
-- differs: the column has the name of the function that the operator or form stands for
select substring('hello' from 2 for 3), substring('hello' from 3), substring('hello', 2, 2), substr('hello', -1, 4);
select substring('foobar' from 'o(.)b'), substring('foobar' from 'z');
select left('hello', 2), left('hello', -2), right('hello', 2), right('hello', -2);
-- differs: the column has the name of the function that the operator or form stands for
select position('l' in 'hello'), strpos('hello', 'z');
select trim('  x '), ltrim('xxa', 'x'), rtrim('axx', 'x'), btrim('xax', 'x'), trim(both 'x' from 'xax');
select trim(leading from '  a');
select trim(trailing from 'a  ') || '|', trim(both from ' a ') || '|', trim(from ' a ') || '|', trim(leading 'x' from 'xxa'), trim(leading from upper(' a') || ' ') || '|';
select lpad('7', 3, '0'), rpad('7', 3), lpad('hello', 2), lpad('x', 5, 'ab');
select replace('banana', 'an', 'AN'), translate('12345', '143', 'ax'), reverse('abc'), repeat('ab', 3);
select split_part('a,b,c', ',', 2), split_part('a,b,c', ',', -1), split_part('a,b', ',', 9);
select concat('a', null, 1, true), concat_ws('-', 'a', null, 'b');
select ascii('A'), chr(65), ascii('é');
select md5('abc');
select sha256('abc');
select encode('abc'::bytea, 'hex'), encode('abc'::bytea, 'base64'), decode('616263', 'hex'), encode('\x00ff'::bytea, 'escape');
select quote_literal('it''s'), quote_ident('Foo'), quote_ident('foo'), quote_nullable(null);
select format('%s-%I-%L', 'a', 'B c', 'd''e'), format('%%'), format('%2$s %1$s', 'a', 'b');
select format('%5s|%-5s|', 'a', 'b');
select format('%3$s %s', 'a', 'b', 'c', 'd'), format('[%*s|%-*s|%*s]', 4, 'a', 4, 'b', -4, 'c'), format('%1$-*2$s|%1$s', 'a', 3), format('%5L|%-8I|%L', 'a', 'B c', null), format('%s|%3s', null, null);
select format('%s %s', 'a');
select format('%0$s', 'a');
select format('%x', 'a');
select format('%', 'a');
select format('%I', null);
select format('%1$s', 1.5), format('%s', array[1,2]), format('%s %s', true, date '2020-01-01'), format(null, 1);
select starts_with('hello', 'he'), 'hello' ^@ 'hex';
select 'hello' like 'h%', 'hello' like '_ello', 'h%' like 'h\%', 'HELLO' ilike 'h%', 'hello' not like 'x%';
select 'abc' like 'a\_c', 'a_c' like 'a!_c' escape '!';
select 'abc' similar to 'a(b|x)c', 'abc' similar to '%(b|d)%', 'abc' similar to '(b|c)%', 'xyz' not similar to 'x_';
select 'a+c' similar to 'a\+c', 'aaa' similar to 'a{2,3}', 'ab' similar to 'a|ab';
select 'abc' ~ '^a', 'abc' ~* 'B', 'abc' !~ 'z', 'abc' !~* 'B';
select regexp_replace('foobarbaz', 'b..', 'X'), regexp_replace('foobarbaz', 'b..', 'X', 'g'), regexp_replace('abc', '(a)(b)', '\2\1');
select regexp_match('foobarbequebaz', '(bar)(beque)'), regexp_match('abc', 'z');
select regexp_matches('foobar', 'o', 'g');
select regexp_split_to_array('a1b2c', '\d');
select regexp_split_to_table('a b  c', '\s+');
select regexp_count('banana', 'an'), regexp_instr('banana', 'n'), regexp_substr('banana', 'n.'), regexp_like('banana', 'NAN', 'i');
select overlay('Txxxxas' placing 'hom' from 2 for 4);
select string_agg(v, ',') from (values ('a'),('b')) t(v);
select string_agg(v, ',' order by v desc) from (values ('a'),('b'),(null)) t(v);
select 'abc' < 'abd', 'a' < 'B', 'a' = 'a ', 'a'::char(3) = 'a'::char(5);
select 'abc'::char(5), 'abcdef'::varchar(3), 'abcdef'::char(2);
select length('abc'::char(5)), 'ab'::char(4) || 'x';
select E'tab\there\\ \x41 \u00e9', U&'d\0061t\+000061', $$dollar's$$, $x$a$$b$x$;
select 'multi' 
 'line';
select to_hex(255), to_hex(-1);
-- differs: the function is missing
select unistr('\0041');
-- differs: the function is missing
select normalize('e');
select string_to_table('a,b,c', ',');
-- differs: the column has the name of the function that the operator or form stands for
select strpos('', ''), position('' in 'a'), length('');
select chr(0);
-- differs: the function is missing
select parse_ident('a.b');
select 'a' collate "C" < 'b';
select cast('t' as boolean), 'yes'::bool, 'off'::bool, 'maybe'::bool;
select text 'abc', varchar 'abc', bool 't', int4 '7';
-- differs: a type before a literal is a cast, and char is char(1) there too
select char 'abc';
-- differs: pg_typeof() answers with text
select 'abc'::name, pg_typeof('a'::name);
select coalesce(null, 'x'), nullif('a', 'a'), greatest('a', 'c', 'b'), least(3, 1, 2), greatest(null, 1);
select convert_from('\xc3a9'::bytea, 'UTF8'), convert_to('é', 'UTF8');
select '\x616263'::bytea, 'abc'::bytea;
-- differs: another SQLSTATE for an odd number of hexadecimal digits
select '\x616'::bytea;
select length('\x616263'::bytea), substring('\x616263'::bytea from 2 for 1), '\x61'::bytea || '\x62'::bytea;
select get_byte('\x6162'::bytea, 1);
-- differs: the function is missing
select set_byte('\x6162'::bytea, 0, 65);
-- differs: the function is missing
select position('\x62'::bytea in '\x6162'::bytea);
select '\x00'::bytea < '\x01'::bytea, md5('\x616263'::bytea);
select quote_ident('select'), quote_ident('name'), format('%I', 'user'), quote_ident('Ab'), quote_ident('1a'), quote_ident('a$'), quote_ident('xmltable'), quote_ident('verbose'), quote_ident('value'), quote_ident('');
select format('%s', array[1, 2]), format('%s and %s', array['a', 'b c'], array[true, null]), format('%s|%L', array[]::int[], array[1.50]);
select format('%1$s %1$s %2$s', array[1], array[array[1, 2], array[3, 4]]), format('%s', '{"a": [1]}'::jsonb), format('%s %s', 1.0::real, timestamp '2020-01-01');
