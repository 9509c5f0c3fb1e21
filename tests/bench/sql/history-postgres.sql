-- The analytic set of variant (b), loaded as data: psql -v n=VEHICLES -v r=REVISIONS
alter table vehicle_registration disable trigger audit;
create function registration(i bigint, v bigint, np bigint) returns vehicle_registration language sql immutable as $$
  select row('V' || i, 'LP' || lpad(i::text, 8, '0'),
    ('{AL,AK,AZ,AR,CA,CO,CT,DE,FL,GA,HI,ID,IL,IN,IA,KS,KY,LA,ME,MD,MA,MI,MN,MS,MO,MT,NE,NV,NH,NJ,NM,NY,NC,ND,OH,OK,OR,PA,RI,SC,SD,TN,TX,UT,VT,VA,WA,WV,WI,WY}'::text[])[i * 31 % 50 + 1],
    'City' || i % 1000, ((i * 37 + v * 1009) % 50000) / 100.0, date '2017-01-01' + (i * 13 % 1500)::int,
    date '2021-01-01' + (i * 13 % 1500)::int,
    jsonb_build_object('PrimaryOwner', jsonb_build_object('PersonId', 'P' || lpad(((i + 7 * v) % np + 1)::text, 21, '0')),
      'SecondaryOwners', jsonb_build_array(jsonb_build_object('PersonId', 'P' || lpad((i * 7 % np + 1)::text, 21, '0')))))::vehicle_registration
$$;
insert into vehicle_registration select (registration(i, :r - 1, greatest(1, :n / 10))).* from generate_series(1::bigint, :n) i;
insert into vehicle_registration_history (hid, txid, tx_time, op, vin, version, row_image)
  overriding system value
  select v * :n + i, 1000 + v * :n + i,
    timestamptz '2020-01-01 00:00:00+00' + (v * :n + i) * (94608000000000 / (:n * :r)) * interval '1 microsecond',
    case v when 0 then 'INSERT' else 'UPDATE' end, 'V' || i, v, to_jsonb(registration(i, v, greatest(1, :n / 10)))
  from generate_series(0::bigint, :r - 1) v, generate_series(1::bigint, :n) i;
select setval(pg_get_serial_sequence('vehicle_registration_history', 'hid'), :n * :r + 1);
alter table vehicle_registration enable trigger audit;
vacuum analyze;
