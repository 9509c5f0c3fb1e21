\set i random_zipfian(1, :n, 1.001)
\set v random(1000000000, 9000000000)
update usertable set field0 = lpad(((:v)::bigint)::text, 100, 'u') where ycsb_key = 'user' || (:i)::bigint;
