//! Rows to items and users. Columns with no meaning of their own become attributes.

use std::collections::{BTreeMap, HashMap};

use foretaste_core::{Error, Item, Limits, Result, User};
use foretaste_store::Store;

use crate::cells::{Cell, Collector, Stop, at, find, id, long_text, number, plain, text, time};
use crate::events::{ITEM, USER};
use crate::{Entity, Mapping, Reason};

/// Records that are stored at once.
const PUT_RECORDS: usize = 5_000;
/// A column `genre:NAME` with the value 1 puts the item into category NAME.
pub const FLAG_PREFIX: &str = "genre:";

const LIMITS: Limits = Limits::DEFAULT;

/// More tags of items, by id.
pub type ExtraTags = HashMap<String, Vec<String>>;

/// Column of each field.
#[derive(Debug, Default)]
struct Places {
    id: Option<usize>,
    title: Option<usize>,
    description: Option<usize>,
    categories: Option<usize>,
    tags: Option<usize>,
    price: Option<usize>,
    created: Option<usize>,
    hidden: Option<usize>,
    embedding: Option<usize>,
    /// `attributes` as one JSON object.
    attributes: Option<usize>,
    /// Other columns: place and name.
    named: Vec<(usize, String)>,
    flags: Vec<(usize, String)>,
}

/// Makes records of rows; without a store it only checks them.
pub struct RecordCollector<'a> {
    entity: Entity,
    mapping: &'a Mapping,
    extra_tags: &'a ExtraTags,
    store: Option<&'a dyn Store>,
    places: Places,
    items: Vec<Item>,
    users: Vec<User>,
    accepted: u64,
}

impl<'a> RecordCollector<'a> {
    /// Collects items or users.
    pub fn new(
        entity: Entity,
        mapping: &'a Mapping,
        extra_tags: &'a ExtraTags,
        store: Option<&'a dyn Store>,
    ) -> Self {
        let (items, users, places) = (Vec::new(), Vec::new(), Places::default());
        Self { entity, mapping, extra_tags, store, places, items, users, accepted: 0 }
    }

    /// Stores what is left and returns the number of records.
    pub fn finish(mut self) -> Result<u64> {
        self.flush()?;
        Ok(self.accepted)
    }

    fn flush(&mut self) -> Result<()> {
        if let Some(store) = self.store {
            store.put_items(&self.items)?;
            store.put_users(&self.users)?;
        }
        self.items.clear();
        self.users.clear();
        Ok(())
    }

    fn find_items(&self, names: &[String]) -> Result<Places> {
        let find = |field, expected| find(field, expected, (names, self.mapping));
        let mut id_names = ITEM.to_vec();
        id_names.push("id");
        Ok(Places {
            id: find("item", &id_names)?,
            title: find("title", &["title", "name", "itemname", "productname"])?,
            description: find("description", &["description", "text", "summary", "overview"])?,
            categories: find("categories", &["categories", "category", "genres", "genre"])?,
            tags: find("tags", &["tags", "keywords", "labels"])?,
            price: find("price", &["price"])?,
            created: find("created", &["createdms", "createdat", "created", "timestamp"])?,
            hidden: find("hidden", &["hidden", "ishidden"])?,
            embedding: find("embedding", &["embedding", "vector"])?,
            attributes: find("attributes", &["attributes"])?,
            ..Places::default()
        })
    }

    fn find_users(&self, names: &[String]) -> Result<Places> {
        let find = |field, expected| find(field, expected, (names, self.mapping));
        let mut id_names = USER.to_vec();
        id_names.push("id");
        Ok(Places {
            id: find("user", &id_names)?,
            created: find("created", &["createdms", "createdat", "created", "timestamp"])?,
            attributes: find("attributes", &["attributes"])?,
            ..Places::default()
        })
    }

    /// The item that a row is.
    pub fn item(&self, cells: &[Cell<'_>]) -> Result<Item, Reason> {
        let places = &self.places;
        let item_id = id(at(cells, places.id), Reason::MissingItem)?;
        let mut categories = words(at(cells, places.categories))?;
        let set = |&&(column, _): &&(usize, String)| at(cells, Some(column)) == b"1";
        categories.extend(places.flags.iter().filter(set).map(|(_, name)| name.clone()));
        let mut tags = words(at(cells, places.tags))?;
        tags.extend(self.extra_tags.get(item_id).into_iter().flatten().cloned());
        Ok(Item {
            item_id: item_id.to_owned(),
            title: long_text(at(cells, places.title))?.to_owned(),
            description: long_text(at(cells, places.description))?.to_owned(),
            categories,
            tags,
            price: number(at(cells, places.price))?,
            attributes: attributes(places, cells)?,
            created_ms: time(at(cells, places.created))?,
            hidden: matches!(text(at(cells, places.hidden))?, "1" | "true" | "TRUE" | "True"),
            embedding: vector(at(cells, places.embedding))?,
        })
    }

    /// The user that a row is.
    pub fn user(&self, cells: &[Cell<'_>]) -> Result<User, Reason> {
        Ok(User {
            user_id: id(at(cells, self.places.id), Reason::MissingUser)?.to_owned(),
            attributes: attributes(&self.places, cells)?,
            created_ms: time(at(cells, self.places.created))?,
        })
    }
}

impl Collector for RecordCollector<'_> {
    fn columns(&mut self, names: &[String]) -> Result<()> {
        let mut places = match self.entity {
            Entity::Items => self.find_items(names)?,
            _ => self.find_users(names)?,
        };
        if places.id.is_none() {
            let field = if self.entity == Entity::Items { "item" } else { "user" };
            return Err(Error::invalid(format!(
                "no column for {field} among: {}. Name it in the mapping, as {field}=COLUMN",
                names.join(", ")
            )));
        }
        let p = &places;
        let fields = [p.id, p.title, p.description, p.categories, p.tags, p.price, p.created];
        let more = [p.hidden, p.embedding, p.attributes];
        let used: Vec<usize> = fields.into_iter().chain(more).flatten().collect();
        for (column, name) in names.iter().enumerate().filter(|(c, _)| !used.contains(c)) {
            match name.strip_prefix(FLAG_PREFIX) {
                Some(flag) => places.flags.push((column, flag.to_owned())),
                None => places.named.push((column, attribute_name(name))),
            }
        }
        self.places = places;
        Ok(())
    }

    fn take(&mut self, cells: &[Cell<'_>]) -> Result<(), Stop> {
        match self.entity {
            Entity::Items => self.items.push(self.item(cells)?),
            _ => self.users.push(self.user(cells)?),
        }
        self.accepted += 1;
        if self.items.len() + self.users.len() >= PUT_RECORDS {
            self.flush()?;
        }
        Ok(())
    }
}

fn attribute_name(column: &str) -> String {
    let name = column.trim().strip_prefix("attributes.").unwrap_or(column.trim());
    let mut name: String = name.chars().filter(|c| !c.is_control()).collect();
    while name.len() > LIMITS.name_bytes {
        name.pop();
    }
    if plain(&name).is_empty() { "column".to_owned() } else { name }
}

fn attributes(places: &Places, cells: &[Cell<'_>]) -> Result<BTreeMap<String, String>, Reason> {
    let mut all = BTreeMap::new();
    for (column, name) in &places.named {
        let value = long_text(at(cells, Some(*column)))?;
        if !value.is_empty() {
            all.insert(name.clone(), value.to_owned());
        }
    }
    let object = text(at(cells, places.attributes))?;
    if !object.is_empty() {
        let more: BTreeMap<String, serde_json::Value> =
            serde_json::from_str(object).map_err(|_| Reason::BadJson)?;
        for (name, value) in more {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let value = long_text(value.as_bytes())?.to_owned();
            all.insert(attribute_name(&name), value);
        }
    }
    Ok(all)
}

/// Several words in one cell, separated by `|`.
fn words(cell: Cell<'_>) -> Result<Vec<String>, Reason> {
    let words = long_text(cell)?.split('|').map(str::trim);
    Ok(words.filter(|w| !w.is_empty() && *w != "(no genres listed)").map(str::to_owned).collect())
}

fn vector(cell: Cell<'_>) -> Result<Option<Vec<f32>>, Reason> {
    let text = text(cell)?.trim_matches(['[', ']']);
    if text.is_empty() {
        return Ok(None);
    }
    let numbers = text.split([',', '|', ';', ' ']).filter(|n| !n.is_empty());
    let vector = numbers.map(|n| n.parse().map_err(|_| Reason::BadNumber));
    let vector: Vec<f32> = vector.collect::<Result<_, _>>()?;
    if vector.iter().all(|v| v.is_finite()) { Ok(Some(vector)) } else { Err(Reason::NotFinite) }
}
