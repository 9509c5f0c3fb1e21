\set h random(1, 10)
\if :h < 10
\set a random(1, 100)
\else
\set a random(101, :n)
\endif
\set v random(1, 100)
begin;
select savings + checking as total from account where custid = (:a)::bigint \gset
\set penalty case when :total < :v then 1 else 0 end
update account set checking = checking - (:v)::bigint - (:penalty)::bigint where custid = (:a)::bigint;
end;
