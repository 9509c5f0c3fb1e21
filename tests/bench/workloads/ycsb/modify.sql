\set i random_zipfian(1, :n, 1.001)
\set v random(1000000000, 9000000000)
begin;
select * from usertable where ycsb_key = 'user' || (:i)::bigint;
update usertable set field0 = lpad(((:v)::bigint)::text, 100, 'm') where ycsb_key = 'user' || (:i)::bigint;
end;
