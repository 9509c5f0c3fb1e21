\set i random(1, :n)
select * from vehicle_registration where vin = 'V' || (:i)::bigint;
