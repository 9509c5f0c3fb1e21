create table person (
  person_id text primary key, first_name text not null, last_name text not null, dob date not null,
  gov_id text not null, gov_id_type text not null, address text not null, city text not null,
  state char(2) not null, zip text not null);
create table vehicle_registration (
  vin text primary key, license_plate text not null, state char(2) not null, city text not null,
  pending_penalty numeric(12,2) not null, valid_from date not null, valid_to date not null,
  owner jsonb not null);
