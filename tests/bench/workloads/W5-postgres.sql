\set i random(1, :n)
select version, txid, tx_time, op, row_image from vehicle_registration_history where vin = 'V' || (:i)::bigint order by version;
