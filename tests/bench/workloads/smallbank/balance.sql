\set h random(1, 10)
\if :h < 10
\set a random(1, 100)
\else
\set a random(101, :n)
\endif
select savings + checking from account where custid = (:a)::bigint;
