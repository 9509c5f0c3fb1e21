create table usertable (
  ycsb_key text primary key, field0 text not null, field1 text not null, field2 text not null, field3 text not null,
  field4 text not null, field5 text not null, field6 text not null, field7 text not null, field8 text not null,
  field9 text not null);
create table account (custid bigint primary key, name text not null, savings bigint not null, checking bigint not null);
