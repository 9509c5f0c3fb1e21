-- Queries over tables.
create table dept (id int primary key, name text not null);
create table emp (id int primary key, name text, dept int, salary numeric(10,2), hired date, tags text[]);
insert into dept values (1, 'sales'), (2, 'dev'), (3, 'empty');
insert into emp values (1, 'ann', 1, 100.50, '2020-01-01', '{a,b}'), (2, 'bob', 2, 200, '2020-06-01', '{b}'), (3, 'cid', 2, 150, '2019-01-01', null), (4, 'dan', null, null, null, '{}');
table dept;
-- differs: TABLE takes nothing behind it
table dept order by id desc limit 1;
values (1, 'a'), (2, 'b') order by 1 desc;
select * from emp order by id;
select e.name, d.name from emp e join dept d on d.id = e.dept order by e.id;
select e.name, d.name from emp e left join dept d on d.id = e.dept order by e.id;
select d.name, e.name from emp e right join dept d on d.id = e.dept order by 1, 2;
select d.name, e.name from emp e full join dept d on d.id = e.dept order by 1, 2;
select count(*) from emp, dept;
select count(*) from emp cross join dept;
select id, name from emp natural join (select id from dept) x order by id;
select * from dept join (values (1, 'x'), (2, 'y')) v(id, w) using (id) order by id;
select e.name, x.n from emp e, lateral (select count(*) n from dept d where d.id <= e.id) x order by e.id;
select e.name, x.m from emp e left join lateral (select max(id) m from dept d where d.id < e.dept) x on true order by e.id;
select dept, count(*), sum(salary), avg(salary) from emp group by dept order by dept nulls first;
select dept, count(*) from emp group by 1 having count(*) > 1;
select d.name, count(e.id) from dept d left join emp e on e.dept = d.id group by d.id order by d.id;
-- differs: grouping sets are missing
select dept, hired, count(*) from emp group by rollup (dept, hired) order by 1, 2;
-- differs: grouping sets are missing
select dept, hired, count(*) from emp group by cube (dept, hired) order by 1, 2, 3;
-- differs: grouping sets are missing
select dept, name, sum(salary) from emp group by grouping sets ((dept), (name), ()) order by 1, 2;
-- differs: grouping sets are missing
select dept, grouping(dept), count(*) from emp group by rollup (dept) order by 2, 1;
-- differs: grouping sets are missing
select dept, name, grouping(dept, name), count(*) from emp group by cube (dept, name) having count(*) > 1 order by 1, 2, 3;
select count(*) filter (where salary > 120), sum(salary) filter (where dept = 2) from emp;
select percentile_cont(0.5) within group (order by salary) from emp;
select percentile_disc(0.5) within group (order by salary) from emp;
select percentile_cont(array[0.25, 0.75]) within group (order by salary) from emp;
select dept, percentile_cont(0.5) within group (order by salary) from emp group by dept order by dept;
select mode() within group (order by dept) from emp;
-- differs: aggregates of hypothetical rows are missing
select rank(150) within group (order by salary) from emp;
select distinct dept from emp order by dept;
select distinct on (dept) dept, name from emp order by dept, salary desc;
select * from (select id from dept union select id from emp) x order by id;
select id from dept union all select id from emp order by id limit 3 offset 2;
select id from emp intersect select id from dept order by 1;
select id from emp except select id from dept order by 1;
(select 1 as a) union (select 2) order by a desc;
select 1 union select 1.5 order by 1;
select null union select 1 order by 1;
select 'a' union select 1;
select 1 union select '2' order by 1;
select '2' union all select 1 order by 1;
select '1', 2 union select 3, '4' order by 1;
select id, 'x' from dept union all select '7', name from emp where id = 1 order by 1;
select hired from emp where id = 1 union select '2019-02-03' order by 1;
select tags from emp where id = 2 union all select '{c,d}';
select 1 intersect select '1';
select id from dept except select '2' order by 1;
select 'a' union select 'b' union select 3;
select 1 intersect select 'a'::text;
select id from emp where dept in (select id from dept where name = 'dev') order by id;
select id from emp where dept not in (1) order by id;
select id from emp where exists (select 1 from dept where dept.id = emp.dept) order by id;
select id from emp where salary > (select avg(salary) from emp);
select id from emp where salary > all (select salary from emp where dept = 1) order by id;
select id from emp where (dept, id) in ((2, 2), (2, 3)) order by id;
select id from emp where (dept, id) = (2, 3);
select id from emp where (dept, id) > (2, 2) order by id;
select (select name from dept where id = 1), (select max(id) from emp);
select (select id from emp);
select id, (select count(*) from emp f where f.dept = e.dept) from emp e order by id;
with t as (select id, name from emp where dept = 2) select * from t order by id;
with recursive n(i) as (select 1 union all select i + 1 from n where i < 5) select sum(i) from n;
with recursive t(a) as (values (1) union select a % 3 + 1 from t) select * from t order by a;
with a as (select 1 x), b as (select x + 1 y from a) select * from a, b;
with a as materialized (select 1 x) select * from a;
select id, row_number() over (order by id desc) from emp order by id;
select id, rank() over (order by dept), dense_rank() over (order by dept) from emp order by id;
select id, sum(salary) over (partition by dept order by id) from emp order by id;
select id, lag(id) over (order by id), lead(id, 2, -1) over (order by id) from emp order by id;
select id, first_value(name) over w, last_value(name) over w, nth_value(name, 2) over w from emp window w as (order by id rows between unbounded preceding and unbounded following) order by id;
select id, ntile(2) over (order by id), percent_rank() over (order by id), cume_dist() over (order by id) from emp order by id;
select id, count(*) over (order by id rows between 1 preceding and 1 following) from emp order by id;
-- differs: the frame clause EXCLUDE is missing
select id, sum(id) over (order by id rows between 1 preceding and 1 following exclude current row) from emp order by id;
select id, avg(salary) over () from emp order by id;
select id, case when salary > 120 then 'high' when salary is null then 'none' else 'low' end from emp order by id;
select case dept when 1 then 'one' else 'other' end from emp order by id;
select id from emp order by salary desc nulls last, id;
select id from emp order by salary nulls first;
select name as n from emp order by n desc limit 2;
select id from emp order by 2;
select id from emp fetch first 2 rows only;
select id from emp order by id offset 1 row fetch next 1 row only;
-- differs: WITH TIES is missing
select id from emp order by dept nulls last fetch first 1 row with ties;
select id from emp limit null;
select id from emp limit -1;
select * from generate_series(1, 3) g;
select * from generate_series(1, 10, 4) as t(n);
select * from generate_series(1, 3) with ordinality;
select generate_series(1, 2), generate_series(1, 4);
select a.n, b.n from generate_series(1,2) a(n), generate_series(1,2) b(n) order by 1, 2;
select id from emp where id = 1 for update;
select id from emp where id = 1 for share;
select id from emp where id = 1 for no key update skip locked;
select e.id from emp e join dept d on d.id = e.dept where e.id = 1 for update of e nowait;
select count(distinct dept), count(dept) from emp;
select max(name), min(hired), array_agg(id order by id) from emp;
select tags[1] from emp order by id;
select id from emp where 'b' = any(tags) order by id;
select id, t from emp, unnest(tags) t order by id, t;
-- differs: a row is a list or a document here
select row(1, 'a'), (1, 2) < (1, 3);
-- differs: a row is a list or a document here
select e from dept e where id = 1;
select (e).name from dept e where id = 1;
select e.* from dept e where e.id = 2;
select nosuch from emp;
select id from emp where id = 'x';
select e.id from emp e group by e.dept;
select id, count(*) from emp;
select id from nosuch;
select sum(count(*)) from emp;
select id from emp where count(*) > 1;
select emp.id from emp e;
select id from emp join dept on true;
select * from emp where name ~ '^[ab]' order by id;
select exists (select 1 from emp where id = 99), not exists (select 1 from emp);
select current_user is not null, current_database() is not null, current_schema();
select version() like 'PostgreSQL%';
select * from (values (1, 2)) t(a, b) where (a, b) is not null;
select 1 where true and null is null;
select null and false, null or true, not null, true and null;
-- differs: TABLESAMPLE is missing
select * from emp tablesample bernoulli (100) order by id;
select t.a + 1 as b from (select 1 as a) as t;
select from emp;
select all id from emp order by id limit 1;
select "name" as "Name" from dept where id = 1;
select id as select from dept;
with d as (select 2 as id) delete from dept using d where dept.id = d.id returning dept.id;
with u as (select 1 as id, 'Z' as n) update dept set name = u.n from u where dept.id = u.id returning dept.*;
select * from dept order by id;
-- differs: changes inside WITH are missing
with ins as (insert into dept values (9, 'nine') returning id) select * from ins;
-- differs: changes inside WITH are missing
with up as (update dept set name = upper(name) where id = 9 returning *) select name from up;
-- differs: changes inside WITH are missing
with del as (delete from dept where id = 9 returning id, name) select * from del;
-- differs: changes inside WITH are missing
with moved as (delete from emp where id = 4 returning *) insert into dept select id, name from moved returning *;
drop table emp;
drop table dept;
