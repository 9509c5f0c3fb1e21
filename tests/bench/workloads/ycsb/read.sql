\set i random_zipfian(1, :n, 1.001)
select * from usertable where ycsb_key = 'user' || (:i)::bigint;
