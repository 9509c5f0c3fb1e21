\set b random(1000000000, 9000000000000)
\set p random(1, :np)
insert into vehicle_registration select 'V' || ((:b)::bigint * 1000 + k), 'LP' || k, 'WA', 'City' || (k % 1000), (k % 50000)/100.0, date '2020-01-01', date '2024-01-01', jsonb_build_object('PrimaryOwner', jsonb_build_object('PersonId','P'||lpad(((:p)::bigint)::text,21,'0')), 'SecondaryOwners', jsonb_build_array(jsonb_build_object('PersonId','P'||lpad(((:p)::bigint)::text,21,'0')))) from generate_series(1,1000) as g(k);
