-- Variant (b): every change of a registration leaves a row in a history table.
create table vehicle_registration_history (
  hid bigint generated always as identity primary key, txid bigint not null, tx_time timestamptz not null,
  op text not null, vin text not null, version bigint not null, row_image jsonb not null);
create index vehicle_registration_history_vin on vehicle_registration_history (vin, version);
create function audit_registration() returns trigger language plpgsql as $$
declare
  changed vehicle_registration := case when tg_op = 'DELETE' then old else new end;
begin
  insert into vehicle_registration_history (txid, tx_time, op, vin, version, row_image)
  values (pg_current_xact_id()::text::bigint, transaction_timestamp(), tg_op, changed.vin,
          (select 1 + coalesce(max(version), -1) from vehicle_registration_history h where h.vin = changed.vin),
          to_jsonb(changed));
  return null;
end $$;
create trigger audit after insert or update or delete on vehicle_registration
  for each row execute function audit_registration();
