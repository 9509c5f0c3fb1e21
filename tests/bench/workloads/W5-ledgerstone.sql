\set i random(1, :n)
select _ql_version, _ql_txid, _ql_txtime, h.* from history(vehicle_registration) as h where vin = 'V' || (:i)::bigint order by _ql_version;
