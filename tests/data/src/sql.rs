//! The registry as SQL statements with literals, one per revision or two.

use crate::{Event, License, Person, Registration, Vehicle};

/// The tables: four that the SQL door declares.
pub const SCHEMA: &[&str] = &[
    "CREATE TABLE person (person_id text PRIMARY KEY, first_name text NOT NULL, last_name text NOT NULL, \
     dob date NOT NULL, gov_id text NOT NULL, address text NOT NULL, city text NOT NULL, state char(2) NOT NULL, \
     zip text NOT NULL)",
    "CREATE TABLE drivers_license (license_number text PRIMARY KEY, person_id text NOT NULL, class text NOT NULL, \
     valid_from date NOT NULL, valid_to date NOT NULL)",
    "CREATE TABLE vehicle (vin text PRIMARY KEY, kind text NOT NULL, year int NOT NULL, make text NOT NULL, \
     model text NOT NULL, color text NOT NULL)",
    "CREATE TABLE vehicle_registration (vin text PRIMARY KEY, license_plate text NOT NULL UNIQUE, \
     state char(2) NOT NULL, city text NOT NULL, pending_penalty numeric(12,2) NOT NULL, valid_from date NOT NULL, \
     valid_to date NOT NULL, owner jsonb NOT NULL)",
    "CREATE INDEX drivers_license_person ON drivers_license (person_id)",
    "CREATE INDEX vehicle_registration_owner ON vehicle_registration (owner.\"PrimaryOwner\".\"PersonId\")",
];

impl Event {
    /// The statements of this event's transaction; each makes one revision.
    pub fn statements(&self) -> Vec<String> {
        match self {
            Event::Arrive(both) => vec![insert_person(&both.0), insert_license(&both.1)],
            Event::Register(both) => vec![insert_vehicle(&both.0), insert_registration(&both.1)],
            Event::Transfer { vin, to } => {
                vec![update(&format!("owner = '{}', pending_penalty = 0", owner(to, &[])), vin)]
            }
            Event::AddOwner { vin, owners } => {
                vec![update(&format!("owner = jsonb_set(owner, '{{SecondaryOwners}}', '{}')", people(owners)), vin)]
            }
            Event::Fine { vin, cents } => {
                vec![update(&format!("pending_penalty = pending_penalty + {}", money(*cents)), vin)]
            }
            Event::Pay { vin } => vec![update("pending_penalty = 0", vin)],
            Event::Renew { vin, valid_to } => vec![update(&format!("valid_to = date '{valid_to}'"), vin)],
            Event::Move { person_id, address, city, state, zip } => vec![format!(
                "UPDATE person SET address = {}, city = {}, state = '{state}', zip = '{zip}' WHERE person_id = '{person_id}'",
                text(address),
                text(city)
            )],
            Event::RenewLicense { license_number, valid_to } => vec![format!(
                "UPDATE drivers_license SET valid_to = date '{valid_to}' WHERE license_number = '{license_number}'"
            )],
            Event::Scrap { vin } => vec![format!("DELETE FROM vehicle_registration WHERE vin = '{vin}'")],
        }
    }
}

fn insert_person(p: &Person) -> String {
    let Person { person_id, first_name, last_name, dob, gov_id, address, city, state, zip } = p;
    format!(
        "INSERT INTO person VALUES ('{person_id}', {}, {}, date '{dob}', '{gov_id}', {}, {}, '{state}', '{zip}')",
        text(first_name),
        text(last_name),
        text(address),
        text(city)
    )
}

fn insert_license(l: &License) -> String {
    let License { license_number, person_id, class, valid_from, valid_to } = l;
    format!(
        "INSERT INTO drivers_license VALUES ('{license_number}', '{person_id}', '{class}', date '{valid_from}', date '{valid_to}')"
    )
}

fn insert_vehicle(v: &Vehicle) -> String {
    let Vehicle { vin, kind, year, make, model, color } = v;
    format!("INSERT INTO vehicle VALUES ('{vin}', '{kind}', {year}, {}, {}, '{color}')", text(make), text(model))
}

fn insert_registration(r: &Registration) -> String {
    format!(
        "INSERT INTO vehicle_registration VALUES ('{}', '{}', '{}', {}, {}, date '{}', date '{}', '{}')",
        r.vin,
        r.license_plate,
        r.state,
        text(r.city),
        money(r.pending_penalty_cents),
        r.valid_from,
        r.valid_to,
        owner(&r.primary_owner, &r.secondary_owners)
    )
}

fn update(changes: &str, vin: &str) -> String {
    format!("UPDATE vehicle_registration SET {changes} WHERE vin = '{vin}'")
}

fn owner(primary: &str, secondary: &[String]) -> String {
    format!(r#"{{"PrimaryOwner": {{"PersonId": "{primary}"}}, "SecondaryOwners": {}}}"#, people(secondary))
}

fn people(ids: &[String]) -> String {
    let people: Vec<String> = ids.iter().map(|id| format!(r#"{{"PersonId": "{id}"}}"#)).collect();
    format!("[{}]", people.join(", "))
}

fn money(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// A literal; quotes are doubled.
fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}
