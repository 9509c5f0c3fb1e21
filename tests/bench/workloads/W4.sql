\set i random(1, :n)
\set p random(1, :np)
\set d random(1, 500)
\set j random(1000000000, 9000000000000000)
begin;
select * from person where person_id = 'P'||lpad(((:p)::bigint)::text,21,'0');
select * from vehicle_registration where vin = 'V' || (:i)::bigint;
update vehicle_registration set pending_penalty = pending_penalty + ((:d)::bigint)/100.0 where vin = 'V' || (:i)::bigint;
insert into vehicle_registration values ('V' || (:j)::bigint, 'LP' || (:j)::bigint, 'WA', 'City' || ((:j)::bigint % 1000), ((:j)::bigint % 50000)/100.0, date '2020-01-01', date '2024-01-01', jsonb_build_object('PrimaryOwner', jsonb_build_object('PersonId','P'||lpad(((:p)::bigint)::text,21,'0'))));
end;
