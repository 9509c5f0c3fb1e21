//! A vehicle registry made from a seed: people, vehicles, registrations, licences and years of changes to them.
//!
//! The generator knows the state of its registry, so that every change it makes is one an office could have made: a
//! title is transferred from the one who holds it, a scrapped vehicle is not fined any more.

mod names;
mod random;
mod sql;

pub use random::Random;
pub use sql::SCHEMA;

/// How much to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    pub people: u32,
    pub vehicles: u32,
    /// Changes after the first registration of everything; each makes one revision, a registration or sale two.
    pub changes: u32,
}

impl Scale {
    /// A few seconds: 900 revisions.
    pub const SMALL: Scale = Scale { people: 100, vehicles: 150, changes: 400 };
    /// Above 50,000 revisions.
    pub const LARGE: Scale = Scale { people: 5_000, vehicles: 8_000, changes: 32_000 };

    /// Revisions the whole registry will make, a few more or less.
    pub fn revisions(&self) -> u64 {
        u64::from(self.people) * 2 + u64::from(self.vehicles) * 2 + u64::from(self.changes)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub person_id: String,
    pub first_name: &'static str,
    pub last_name: &'static str,
    pub dob: Date,
    pub gov_id: String,
    pub address: String,
    pub city: &'static str,
    pub state: &'static str,
    pub zip: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vehicle {
    pub vin: String,
    pub kind: &'static str,
    pub year: u16,
    pub make: &'static str,
    pub model: &'static str,
    pub color: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    pub vin: String,
    pub license_plate: String,
    pub state: &'static str,
    pub city: &'static str,
    pub pending_penalty_cents: u64,
    pub valid_from: Date,
    pub valid_to: Date,
    pub primary_owner: String,
    pub secondary_owners: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct License {
    pub license_number: String,
    pub person_id: String,
    pub class: &'static str,
    pub valid_from: Date,
    pub valid_to: Date,
}

/// A day of the Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    pub year: u16,
    pub month: u8,
    pub day: u8,
}

/// What happens at the office; each is one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A person and the licence they drive with.
    Arrive(Box<(Person, License)>),
    /// A vehicle and its first title.
    Register(Box<(Vehicle, Registration)>),
    Transfer {
        vin: String,
        to: String,
    },
    AddOwner {
        vin: String,
        owners: Vec<String>,
    },
    Fine {
        vin: String,
        cents: u64,
    },
    Pay {
        vin: String,
    },
    Renew {
        vin: String,
        valid_to: Date,
    },
    Move {
        person_id: String,
        address: String,
        city: &'static str,
        state: &'static str,
        zip: String,
    },
    RenewLicense {
        license_number: String,
        valid_to: Date,
    },
    /// The vehicle is gone: its title ends, its history stays.
    Scrap {
        vin: String,
    },
}

/// The events of one registry, in order.
pub struct Registry {
    random: Random,
    scale: Scale,
    people: Vec<String>,
    titles: Vec<Title>,
    made: u32,
    registered: u32,
}

struct Title {
    vin: String,
    owner: usize,
    fined: bool,
    valid_to: Date,
}

impl Registry {
    pub fn new(seed: u64, scale: Scale) -> Self {
        Registry { random: Random::new(seed), scale, people: Vec::new(), titles: Vec::new(), made: 0, registered: 0 }
    }

    fn arrive(&mut self) -> Event {
        let number = self.people.len();
        let r = &mut self.random;
        let person_id = format!("P{number:07}");
        let (city, state, zip) = *r.pick(names::CITIES);
        let person = Person {
            person_id: person_id.clone(),
            first_name: r.word(names::FIRST),
            last_name: r.word(names::LAST),
            dob: r.date(1940, 2005),
            gov_id: format!("{}-{:02}-{:04}", r.below(900) + 100, r.below(100), r.below(10_000)),
            address: address(r),
            city,
            state,
            zip: format!("{zip:05}"),
        };
        let valid_from = r.date(2012, 2018);
        let license = License {
            license_number: format!("L{:03}-{:06}", number % 1000, number),
            person_id: person_id.clone(),
            class: r.word(names::LICENSE_CLASSES),
            valid_from,
            valid_to: valid_from.years_later(8),
        };
        self.people.push(person_id);
        Event::Arrive(Box::new((person, license)))
    }

    fn register(&mut self) -> Event {
        let number = self.registered;
        self.registered += 1;
        let r = &mut self.random;
        let (make, model, kind) = *r.pick(names::MODELS);
        let year = 2002 + r.below(17) as u16;
        let vehicle = Vehicle { vin: vin(number, r), kind, year, make, model, color: r.word(names::COLORS) };
        let (city, state, _) = *r.pick(names::CITIES);
        let valid_from = Date { year: year.max(2012), month: 1 + r.below(12) as u8, day: 1 + r.below(28) as u8 };
        let owner = r.below(self.people.len() as u64) as usize;
        let registration = Registration {
            vin: vehicle.vin.clone(),
            license_plate: format!("{}{:05}", r.letters(3), number % 100_000),
            state,
            city,
            pending_penalty_cents: 0,
            valid_from,
            valid_to: valid_from.years_later(4),
            primary_owner: self.people[owner].clone(),
            secondary_owners: Vec::new(),
        };
        self.titles.push(Title { vin: vehicle.vin.clone(), owner, fined: false, valid_to: registration.valid_to });
        Event::Register(Box::new((vehicle, registration)))
    }

    fn change(&mut self) -> Event {
        let at = self.random.below(self.titles.len() as u64) as usize;
        let r = &mut self.random;
        let titles = self.titles.len();
        let title = &mut self.titles[at];
        let vin = title.vin.clone();
        match r.below(100) {
            0..30 => {
                let to = (title.owner + 1 + r.below(self.people.len() as u64 - 1) as usize) % self.people.len();
                title.owner = to;
                Event::Transfer { vin, to: self.people[to].clone() }
            }
            30..42 => {
                let owners = (0..1 + r.below(2)).map(|_| r.pick(&self.people).clone()).collect();
                Event::AddOwner { vin, owners }
            }
            42..62 if !title.fined => {
                title.fined = true;
                Event::Fine { vin, cents: 1_500 + r.below(48_501) }
            }
            42..70 if title.fined => {
                title.fined = false;
                Event::Pay { vin }
            }
            42..80 => {
                title.valid_to = title.valid_to.years_later(2);
                Event::Renew { vin, valid_to: title.valid_to }
            }
            80..90 => {
                let (city, state, zip) = *r.pick(names::CITIES);
                let person_id = r.pick(&self.people).clone();
                Event::Move { person_id, address: address(r), city, state, zip: format!("{zip:05}") }
            }
            90..98 => {
                let number = r.below(self.people.len() as u64);
                let license_number = format!("L{:03}-{number:06}", number % 1000);
                Event::RenewLicense { license_number, valid_to: r.date(2027, 2034) }
            }
            _ if titles > 2 => {
                self.titles.swap_remove(at);
                Event::Scrap { vin }
            }
            _ => Event::Renew { vin, valid_to: title.valid_to.years_later(1) },
        }
    }
}

impl Iterator for Registry {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        if (self.people.len() as u32) < self.scale.people.max(2) {
            Some(self.arrive())
        } else if self.registered < self.scale.vehicles.max(1) {
            Some(self.register())
        } else if self.made < self.scale.changes {
            self.made += 1;
            Some(self.change())
        } else {
            None
        }
    }
}

impl Date {
    /// The same day, years later; 29 February becomes the 28th.
    pub fn years_later(self, years: u16) -> Date {
        Date {
            year: self.year + years,
            month: self.month,
            day: if self.month == 2 { self.day.min(28) } else { self.day },
        }
    }
}

impl std::fmt::Display for Date {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// Seventeen characters without I, O and Q, the number among them, so that no two vehicles share one.
fn vin(number: u32, r: &mut Random) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHJKLMNPRSTUVWXYZ0123456789";
    let head: String = (0..10).map(|_| char::from(*r.pick(LETTERS))).collect();
    format!("{head}{number:07}")
}

fn address(r: &mut Random) -> String {
    format!("{} {}", 1 + r.below(9_998), r.pick(names::STREETS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn same_seed_makes_the_same_registry() {
        let texts = |seed| Registry::new(seed, Scale::SMALL).flat_map(|e| e.statements()).collect::<Vec<_>>();
        assert_eq!(texts(7), texts(7));
        assert_ne!(texts(7), texts(8));
    }

    #[test]
    fn scale_large_makes_fifty_thousand_revisions() {
        let revisions: usize = Registry::new(1, Scale::LARGE).map(|e| e.statements().len()).sum();
        assert!(revisions >= 50_000, "{revisions}");
    }

    #[test]
    fn a_scrapped_vehicle_is_never_changed_again() {
        let mut scrapped = HashSet::new();
        for event in Registry::new(3, Scale { people: 20, vehicles: 40, changes: 3_000 }) {
            match event {
                Event::Scrap { vin } => assert!(scrapped.insert(vin)),
                Event::Transfer { vin, .. } | Event::Fine { vin, .. } | Event::Pay { vin } => {
                    assert!(!scrapped.contains(&vin))
                }
                _ => {}
            }
        }
        assert!(!scrapped.is_empty());
    }
}
