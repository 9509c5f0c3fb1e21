-- Variant (c): as (b), and each history row carries the hash of the row before it.
create extension pgcrypto;
create table chain_head (hid bigint not null, hash bytea not null);
insert into chain_head values (0, '\x');
create table vehicle_registration_history (
  hid bigint primary key, txid bigint not null, tx_time timestamptz not null, op text not null, vin text not null,
  version bigint not null, row_image jsonb not null, prev_hash bytea not null, hash bytea not null);
create index vehicle_registration_history_vin on vehicle_registration_history (vin, version);
create function chain_registration() returns trigger language plpgsql as $$
declare
  changed vehicle_registration := case when tg_op = 'DELETE' then old else new end;
  head chain_head;
  n bigint;
  v bigint;
  image jsonb := to_jsonb(changed);
  now_hash bytea;
begin
  select * into head from chain_head for update;
  n := head.hid + 1;
  select 1 + coalesce(max(version), -1) into v from vehicle_registration_history h where h.vin = changed.vin;
  now_hash := digest(head.hash || convert_to(concat_ws('|', n, pg_current_xact_id()::text,
      extract(epoch from transaction_timestamp()), tg_op, changed.vin, v, image), 'UTF8'), 'sha256');
  insert into vehicle_registration_history
  values (n, pg_current_xact_id()::text::bigint, transaction_timestamp(), tg_op, changed.vin, v, image, head.hash, now_hash);
  update chain_head set hid = n, hash = now_hash;
  return null;
end $$;
create trigger chain after insert or update or delete on vehicle_registration
  for each row execute function chain_registration();
