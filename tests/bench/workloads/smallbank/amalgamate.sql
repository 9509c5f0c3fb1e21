\set h random(1, 10)
\if :h < 10
\set a random(1, 100)
\else
\set a random(101, :n)
\endif
\set b (:a + :h * 7) % :n + 1
begin;
select savings + checking as all_of_it from account where custid = (:a)::bigint \gset
update account set savings = 0, checking = 0 where custid = (:a)::bigint;
update account set checking = checking + (:all_of_it)::bigint where custid = (:b)::bigint;
end;
