\set i random(1000000000, 9000000000000000)
\set p random(1, :np)
insert into vehicle_registration values ('V' || (:i)::bigint, 'LP' || (:i)::bigint, 'WA', 'City' || ((:i)::bigint % 1000), ((:i)::bigint % 50000)/100.0, date '2020-01-01', date '2024-01-01', jsonb_build_object('PrimaryOwner', jsonb_build_object('PersonId','P'||lpad(((:p)::bigint)::text,21,'0')), 'SecondaryOwners', jsonb_build_array(jsonb_build_object('PersonId','P'||lpad(((:p)::bigint)::text,21,'0')))));
