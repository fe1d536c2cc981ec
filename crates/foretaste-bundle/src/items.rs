//! The catalogue as columns: ids, titles, categories, tags, attributes, price, age, visibility.

use foretaste_core::{Error, IdTable, Item, ItemIdx, Result, TimeMs};

use crate::format::{Column, SectionReader, SectionWriter};
use crate::text::{FoundAt, IdIndex, TextColumn, Vocabulary};

/// All items of a bundle; an item's number is its row.
#[derive(Clone, Debug)]
pub struct ItemTable {
    ids: IdIndex,
    titles: TextColumn,
    prices: Column<f32>,
    created_ms: Column<i64>,
    hidden: Column<u8>,
    categories: Vocabulary,
    tags: Vocabulary,
    attributes: Vocabulary,
}

impl ItemTable {
    pub(crate) fn write(out: &mut SectionWriter, items: &[Item]) -> Result<()> {
        let ids: IdTable = items.iter().map(|i| &i.item_id).collect();
        if ids.len() != items.len() {
            return Err(Error::invalid("items of a bundle: two items have one id"));
        }
        IdIndex::write(out, &ids)?;
        TextColumn::write(out, items.iter().map(|i| i.title.as_str()))?;
        let price = |i: &Item| i.price.filter(|p| p.is_finite()).map_or(f32::NAN, |p| p as f32);
        out.put(&items.iter().map(price).collect::<Vec<_>>())?;
        out.put(&items.iter().map(|i| i.created_ms).collect::<Vec<_>>())?;
        out.put(&items.iter().map(|i| u8::from(i.hidden)).collect::<Vec<_>>())?;
        let lists = |f: fn(&Item) -> Vec<String>| items.iter().map(f).collect::<Vec<_>>();
        Vocabulary::write(out, &lists(|i| i.categories.clone()))?;
        Vocabulary::write(out, &lists(|i| i.tags.clone()))?;
        let pairs = |i: &Item| i.attributes.iter().map(|(k, v)| format!("{k}={v}")).collect();
        Vocabulary::write(out, &lists(pairs))
    }

    pub(crate) fn read(mut input: SectionReader) -> Result<Self> {
        let ids = IdIndex::read(&mut input)?;
        let n = ids.len();
        let table = Self {
            ids,
            titles: TextColumn::read(&mut input)?,
            prices: input.take()?,
            created_ms: input.take()?,
            hidden: input.take()?,
            categories: Vocabulary::read(&mut input, n)?,
            tags: Vocabulary::read(&mut input, n)?,
            attributes: Vocabulary::read(&mut input, n)?,
        };
        let lengths = [table.titles.len(), table.prices.get().len(), table.hidden.get().len()];
        let same = lengths.iter().all(|&l| l == n) && table.created_ms.get().len() == n;
        // NaN stands for "no price"; an infinite price is damage.
        let finite = table.prices.get().iter().all(|p| !p.is_infinite());
        if !same || !finite || table.hidden.get().iter().any(|&h| h > 1) {
            let text = "columns disagree with the ids or hold impossible values";
            return Err(Error::corrupt(format!("{}: {text}", input.name())));
        }
        input.finish()?;
        Ok(table)
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// True without an item.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The owner's id of an item.
    pub fn id(&self, item: ItemIdx) -> &str {
        self.ids.id(item)
    }

    /// The item with an id.
    pub fn index_of(&self, id: &str) -> Option<ItemIdx> {
        self.ids.index_of(id)
    }

    /// As [`ItemTable::index_of`], with a memory: see [`IdIndex::index_of_again`].
    pub fn index_of_again(&self, id: &str, memory: &FoundAt) -> Option<ItemIdx> {
        self.ids.index_of_again(id, memory)
    }

    /// The title of an item; may be empty.
    pub fn title(&self, item: ItemIdx) -> &str {
        self.titles.get(item)
    }

    /// The price of an item; NaN without one.
    pub fn price(&self, item: ItemIdx) -> f32 {
        self.prices.get()[item as usize]
    }

    /// Prices of all items; NaN without one.
    pub fn prices(&self) -> &[f32] {
        self.prices.get()
    }

    /// When an item became available; 0 when not known.
    pub fn created_ms(&self, item: ItemIdx) -> TimeMs {
        self.created_ms.get()[item as usize]
    }

    /// When each item became available; 0 when not known.
    pub fn all_created_ms(&self) -> &[TimeMs] {
        self.created_ms.get()
    }

    /// Whether an item was hidden when the bundle was built.
    pub fn hidden(&self, item: ItemIdx) -> bool {
        self.hidden.get()[item as usize] == 1
    }

    /// Codes of an item's categories, most general first.
    pub fn categories(&self, item: ItemIdx) -> &[u32] {
        self.categories.codes(item)
    }

    /// Name of a category code.
    pub fn category_name(&self, code: u32) -> &str {
        self.categories.name(code)
    }

    /// Code of a category name.
    pub fn category_code(&self, name: &str) -> Option<u32> {
        self.categories.code(name)
    }

    /// Categories with their items.
    pub fn category_vocabulary(&self) -> &Vocabulary {
        &self.categories
    }

    /// Codes of an item's tags.
    pub fn tags(&self, item: ItemIdx) -> &[u32] {
        self.tags.codes(item)
    }

    /// Tags with their items.
    pub fn tag_vocabulary(&self) -> &Vocabulary {
        &self.tags
    }

    /// Codes of an item's attributes; their names are `key=value`.
    pub fn attributes(&self, item: ItemIdx) -> &[u32] {
        self.attributes.codes(item)
    }

    /// Attributes (`key=value`) with their items.
    pub fn attribute_vocabulary(&self) -> &Vocabulary {
        &self.attributes
    }

    /// Name (`key=value`) of an attribute code.
    pub fn attribute_name(&self, code: u32) -> &str {
        self.attributes.name(code)
    }

    /// Name of a tag code.
    pub fn tag_name(&self, code: u32) -> &str {
        self.tags.name(code)
    }

    /// Items of a category, ascending; none for a name that no item has.
    pub fn items_in_category(&self, name: &str) -> &[ItemIdx] {
        items_named(&self.categories, name)
    }

    /// Items with a tag, ascending.
    pub fn items_with_tag(&self, name: &str) -> &[ItemIdx] {
        items_named(&self.tags, name)
    }

    /// Items whose attribute `key` is `value`, ascending.
    pub fn items_with_attribute(&self, key: &str, value: &str) -> &[ItemIdx] {
        items_named(&self.attributes, &format!("{key}={value}"))
    }
}

fn items_named<'a>(vocabulary: &'a Vocabulary, name: &str) -> &'a [ItemIdx] {
    vocabulary.code(name).map_or(&[], |code| vocabulary.items(code))
}
