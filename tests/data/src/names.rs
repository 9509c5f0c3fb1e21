//! The words the registry is made of.

pub const FIRST: &[&str] = &[
    "Amara", "Ben", "Chiara", "Daniel", "Elif", "Farid", "Grace", "Hana", "Ivo", "Jonas", "Kezia", "Liam", "Mei",
    "Noor", "Olga", "Pavel", "Quinn", "Raul", "Salma", "Teun", "Uma", "Viktor", "Wanjiru", "Xenia", "Yusuf", "Zoë",
];

pub const LAST: &[&str] = &[
    "Abara", "Bianchi", "Castillo", "Dubois", "Eriksen", "Fischer", "García", "Hakimi", "Ito", "Jansen", "Kowalski",
    "Laurent", "Müller", "Nakamura", "O'Brien", "Petrov", "Quispe", "Rossi", "Sato", "Tanaka", "Uzun", "Vega", "Wolff",
    "Ximenes", "Yilmaz", "Zhang",
];

/// City, state and zip code.
pub const CITIES: &[(&str, &str, u32)] = &[
    ("Seattle", "WA", 98101),
    ("Everett", "WA", 98201),
    ("Portland", "OR", 97201),
    ("Boise", "ID", 83701),
    ("Sacramento", "CA", 94203),
    ("Fresno", "CA", 93650),
    ("Reno", "NV", 89501),
    ("Phoenix", "AZ", 85001),
    ("Denver", "CO", 80201),
    ("Austin", "TX", 73301),
    ("Madison", "WI", 53701),
    ("Columbus", "OH", 43085),
    ("Albany", "NY", 12201),
    ("Boston", "MA", 2108),
    ("Raleigh", "NC", 27601),
    ("Tampa", "FL", 33601),
];

pub const STREETS: &[&str] = &[
    "Winding Creek Road",
    "Elm Street",
    "Harbour View",
    "Old Mill Lane",
    "Station Road",
    "Chestnut Avenue",
    "Foundry Street",
    "Quarry Hill",
    "Kingfisher Close",
    "Lighthouse Drive",
];

/// Make, model and type.
pub const MODELS: &[(&str, &str, &str)] = &[
    ("Audi", "A5", "Sedan"),
    ("Tesla", "Model S", "Sedan"),
    ("Ducati", "Monster 1200", "Motorcycle"),
    ("Ford", "F 150", "Truck"),
    ("Mercedes", "CLK 350", "Coupe"),
    ("Toyota", "Corolla", "Sedan"),
    ("Volvo", "XC60", "SUV"),
    ("Renault", "Kangoo", "Van"),
    ("Honda", "CB 500", "Motorcycle"),
    ("Fiat", "500", "Hatchback"),
];

pub const COLORS: &[&str] = &["Silver", "Blue", "Yellow", "Black", "White", "Red", "Green", "Grey"];

pub const LICENSE_CLASSES: &[&str] = &["Full", "Learner", "Commercial", "Motorcycle"];
