\set h random(1, 10)
\if :h < 10
\set a random(1, 100)
\else
\set a random(101, :n)
\endif
\set b (:a + :h * 7) % :n + 1
\set v random(1, 100)
begin;
select checking as funds from account where custid = (:a)::bigint \gset
\if :funds >= :v
update account set checking = checking - (:v)::bigint where custid = (:a)::bigint;
update account set checking = checking + (:v)::bigint where custid = (:b)::bigint;
\endif
end;
