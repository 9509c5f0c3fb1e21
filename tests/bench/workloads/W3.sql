\set i random(1, :n)
\set p random(1, :np)
update vehicle_registration set owner = jsonb_build_object('PrimaryOwner', jsonb_build_object('PersonId','P'||lpad(((:p)::bigint)::text,21,'0')), 'SecondaryOwners', jsonb_build_array()), pending_penalty = 0 where vin = 'V' || (:i)::bigint;
