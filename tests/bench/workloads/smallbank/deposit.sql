\set h random(1, 10)
\if :h < 10
\set a random(1, 100)
\else
\set a random(101, :n)
\endif
\set v random(1, 100)
update account set checking = checking + (:v)::bigint where custid = (:a)::bigint;
