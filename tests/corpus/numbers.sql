-- Numbers.
select 1 + 1, 7 / 2, -7 / 2, 7 % 3, -7 % 3, 2 ^ 10, 7.0 / 2, 1 / 3.0;
select 2147483647 + 1;
select 9223372036854775807 + 1;
select 32767::int2 + 1::int2;
select 1 / 0;
select 1.0 / 0;
select 1::float8 / 0;
-- differs: the column has the name of the function that the operator or form stands for
select 5 & 3, 5 | 3, 5 # 3, ~5, 1 << 4, -16 >> 2;
-- differs: the column has the name of the function that the operator or form stands for
select |/ 16.0, @ -5;
-- differs: another last digit of the cube root
select ||/ 27.0;
select abs(-5), abs(-5.5), sign(-3), sign(2.5);
select ceil(1.2), floor(-1.2), round(2.5), round(-2.5), round(2.567, 2), round(1234.5, -2), trunc(2.99), trunc(2.567, 1);
select round(2.5::float8), round(3.5::float8), ceil(1.2::float8), ceiling(1.1);
select sqrt(2), sqrt(2::numeric), power(2, 10), power(2.0, 0.5), exp(1), exp(1::numeric), ln(2), ln(2.0), log(100), log(2, 8);
select sqrt(-1);
select ln(0);
-- differs: functions of int8 answer for smaller integers
select mod(7, 3), mod(-7.5, 2), div(7, 2), gcd(12, 18), lcm(4, 6), factorial(5);
select pi(), degrees(pi()), radians(180.0);
select sin(0), cos(0), tan(0), asin(1), acos(1), atan(1), atan2(1, 1), cot(1), sinh(1), cosh(1), tanh(1);
-- differs: the function is missing
select sind(30), cosd(60), tand(45);
-- differs: numeric has no NaN
select 'NaN'::numeric;
select 'NaN'::float8, 'Infinity'::float8, '-Infinity'::float8;
select 'NaN'::float8 = 'NaN'::float8, 'NaN'::float8 > 1e308, 'Infinity'::float8 > 1;
-- differs: numeric has no NaN
select 'NaN'::numeric = 'NaN'::numeric, 'NaN'::numeric > 1;
select 1.10 = 1.1, 1.10::numeric(5,3), 1.005::numeric(3,2);
select 123.456::numeric(4,1), 1234.5::numeric(3,1);
select 1e10, 1e-5, 1.5e300, .5, 5.;
select 0.1 + 0.2, 0.1::float8 + 0.2::float8, 0.1::float4;
select 1e308::float8 * 10;
-- differs: pg_typeof() answers with text
select 100000000000000000000, pg_typeof(100000000000000000000), pg_typeof(1), pg_typeof(3000000000), pg_typeof(1.5);
select '12'::int, ' 12 '::int, '1.5'::int;
select '99999999999'::int;
select 1.5::int, 2.5::int, -1.5::int, 2.5::float8::int, 3.5::float8::int;
select 40000::int2;
select 1::text, 1.50::text, 1e20::float8::text, 1e-7::float8::text, 123456789012345678::float8::text;
select 1.0::float4, 16777217::float4, 3.4e38::float4, 1e-45::float4;
select to_char(1234.5, '9,999.99'), to_char(-1234.5, '9999.9'), to_char(12, '0000'), to_char(0.5, '0.99');
select to_char(1234567, '9G999G999');
select to_char(12, 'FM999');
select to_char(12.5, 'FM990.00');
select to_char(-5, 'S99'), to_char(5, 'MI99'), to_char(12, '99th'), to_char(123, 'RN');
select to_char(485, '"Good number:"999'), to_char(-12, '99PR'), to_char(12345, '99');
select to_number('12,454.8-', '99G999D9S'), to_number('1,234.5', '9,999.9'), to_number('-12', '99');
select to_char(-485, '9999'), to_char(-485, 'FM9999'), to_char(-485, '9999S'), to_char(485, '9999S'), to_char(-485, 'SG999'), to_char(485, 'PL999'), to_char(-485, '999MI'), to_char(485, 'FM999MI'), to_char(-485, 'FM999PR');
select to_char(0.1, '0.9'), to_char(-0.1, '99.99'), to_char(-0.1, 'FM9.99'), to_char(-0.1, 'FM90.99'), to_char(12, '9990999.9'), to_char(12, 'FM9990999.9'), to_char(148.5, '999D999'), to_char(148.5, 'FM999.990'), to_char(0, 'FM9.9');
select to_char(1485, '9,999'), to_char(1485, '9G999'), to_char(3148.5, '9G999D999'), to_char(148.5, 'L999'), to_char(123456, '9,9,9,9,9,9');
select to_char(485, 'RN'), to_char(5.2, 'FMRN'), to_char(0, 'RN'), to_char(4000, 'FMrn'), to_char(1994, 'FMrn'), to_char(482, '999th'), to_char(1, 'FM9TH'), to_char(-1, '9th');
select to_char(12, '99V999'), to_char(12.4, '99V999'), to_char(12.45, '99V9'), to_char(0.0004859, '9.99EEEE'), to_char(-1234567, '9.999EEEE'), to_char(1e300::float8, '9.9EEEE');
select to_char(485.8, '"Pre:"999" Post:" .999'), to_char(12, '9\"9'), to_char(12, '"\"9"99'), to_char(1, ''), to_char(12, 'x99é');
select to_char('NaN'::float8, '999.99'), to_char('Infinity'::float8, '9999999999'), to_char('-Infinity'::float8, '99.9EEEE'), to_char(0.1::float4, '9.99999999'), to_char(123456789012345678::int8, '999G999G999G999G999G999');
select to_char(1.5::float8, '9'), to_char(2.5::float8, '9'), to_char(2.5, '9'), to_char(-0.4, '9'), to_char(-0.4::float8, '9'), to_char(99.996, '99.99'), to_char(1000, '999'), to_char(-1000, 'FM999');
select to_char(5::int2, '9'), to_char(7, '00'), to_char(7, 'FM00'), to_char(1234.5678, 'FM9999.99'), to_char(1234.5, 'FM9999.00'), to_char(1234, 'FM9999.99');
select to_char(1, '9.9.9');
select to_char(1, 'S9S');
select to_char(1, '9PR9');
select to_char(1, '9EEEE9');
select to_char(1, 'FM9EEEE');
select to_char(1, '9V9.9');
-- differs: an integer that does not fit is refused, as PostgreSQL refuses it for bigint; for integer it answers -10
select to_char(2147483647, '9V9');
select to_char(3000000000, 'RN');
select to_number('-34,338,492', '99G999G999'), to_number('<564646.654564>', '999999.999999PR'), to_number('0.00001-', '9.999999S'), to_number('5.01-', 'FM9.999999MI'), to_number(' 34 ', '99'), to_number('123456', '999G999');
select to_number('$1,234.56', 'L9,999.99'), to_number('1234.56', 'L9,999.99'), to_number('42nd', '99th'), to_number('4 5', '9 9'), to_number('15', '9V9'), to_number('12.3', '99'), to_number('', '9') is null as e;
select to_number('12', ''), to_number(null, '9');
select to_number('x', '9');
select to_number('1234', '99');
select to_number('12', '9EEEE');
select to_number('XII', 'RN');
select width_bucket(5.35, 0.024, 10.06, 5);
select scale(1.50), min_scale(1.50), trim_scale(1.50);
select numeric '1e-3';
-- differs: underscores in numbers, which PostgreSQL reads since 16, are read
select 1_000;
select 0x1F;
select sum(v), avg(v), min(v), max(v), count(v), count(*) from (values (1),(2),(null)) t(v);
select sum(v), avg(v) from (values (1.5),(2.25)) t(v);
select sum(v), avg(v) from (values (1::float8),(2)) t(v);
select sum(v) from (values (1::int8),(2)) t(v);
select stddev(v), variance(v), stddev_pop(v), var_pop(v), stddev_samp(v), var_samp(v) from (values (1),(2),(4)) t(v);
select stddev(v), var_pop(v), stddev_pop(v) from (values (1::float8), ('NaN'), (2)) t(v);
select corr(y, x), covar_pop(y, x), covar_samp(y, x), regr_slope(y, x), regr_intercept(y, x), regr_r2(y, x), regr_count(y, x) from (values (1::float8, 2::float8), (2, 4), (3, 7)) t(x, y);
select bit_and(v), bit_or(v), bit_xor(v) from (values (7),(5)) t(v);
select bool_and(v), bool_or(v), every(v) from (values (true),(false)) t(v);
select random() >= 0 and random() < 1;
select 5 between 1 and 10, 5 not between 1 and 3;
-- differs: not known to the parser
select 5 between symmetric 10 and 1;
select -2 ^ 2, 2 ^ 3 ^ 2, - - 1, +1;
select 1 = 1.0, 1::float8 = 1, 1 <> 2, 1 != 1;
select num_nulls(1, null, 2), num_nonnulls(1, null, 2);
select 10::oid, 5::int8::int4, true::int, 0::boolean;
select 1 is distinct from null, null is distinct from null, 1 is not distinct from 1;
select 0.00 ^ 2147483647, 0 ^ 0.5, 0.00 ^ 0, 0.0 ^ 9223372036854775807;
select 1.5 ^ -9223372036854775808 = 0, 0.000001 ^ 12345678901234567890.123 = 0;
select false is distinct from true or true, null is distinct from 1 and false, 1 is not distinct from 1 and false;
select abs((-32768)::int2);
select abs((-2147483648)::int4);
select abs((-9223372036854775808)::int8);
select abs((-32767)::int2), abs((-2147483647)::int4), abs(-9223372036854775807);
select concat(0.1::float4, ' ', 0.1::float8) as c, concat('{1,2}'::int4[], '{a,b c}'::text[]) as a;
select sign('NaN'::float8) as s;
select coalesce(0.1::float4, 1) as c, greatest(0.1::float4, 0) as g, array[1] || 0.1::float4 as a;
select var_pop(x), stddev(x), var_samp(x) from (values (1e8::float8 + 1), (1e8::float8 + 2), (1e8::float8 + 3)) v(x);
select var_pop(x), stddev_pop(x), var_samp(x), stddev(x) from (values (1.5::float8)) v(x);
select var_pop(x) as v, stddev(x) as s from (values ('Infinity'::float8), (1)) v(x);
select var_pop(x) as v from (values ('NaN'::float8)) v(x);
select var_samp(x) from (values (0.1::float8), (0.2), (0.3), (0.4)) v(x);
select (-8)::float8 ^ 0.5;
select 0::float8 ^ -1;
select 2::float8 ^ 10, (-2)::float8 ^ 3;
select 1e-200::float8 * 1e-200::float8;
select 1e-200::float8 / 1e200::float8;
select 0::float8 / 5, 5 / 'Infinity'::float8 as p;
