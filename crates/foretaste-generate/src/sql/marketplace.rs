//! A data marketplace: data sets are ordered once or called by an API. Whatever is not an order
//! counts as a call.

use foretaste_core::{Event, Result};

use super::{Dialect, Script, Shape};
use crate::{Spec, items, users};

const IMAGE: &str = "INSERT INTO dataset_image (id, dataset_id, url)";
const DATASET: &str = "INSERT INTO dataset (id, title, description, category, tags, price, \
    status, cover_id, created_at, updated_at)";
const ORDER: &str = "INSERT INTO order_tab (user_id, dataset_id, amount, created_at, updated_at)";
const CALL: &str = "INSERT INTO api_order (user_id, dataset_id, calls, created_at, updated_at)";

/// The schema at work.
pub(super) struct Marketplace<'a> {
    spec: &'a Spec,
    dialect: Dialect,
}

impl<'a> Marketplace<'a> {
    pub(super) fn new(spec: &'a Spec, dialect: Dialect) -> Self {
        Self { spec, dialect }
    }

    fn tables(&self) -> [(&'static str, String); 5] {
        let (number, time, user) = match self.dialect {
            Dialect::MySql => ("BIGINT PRIMARY KEY AUTO_INCREMENT", "DATETIME(6)", "`user`"),
            Dialect::Postgres => ("BIGSERIAL PRIMARY KEY", "TIMESTAMPTZ", "\"user\""),
        };
        let times = format!("created_at {time} NOT NULL, updated_at {time} NOT NULL");
        let id = "VARCHAR(64) PRIMARY KEY";
        let both = "user_id VARCHAR(64) NOT NULL, dataset_id VARCHAR(64) NOT NULL";
        [
            (user, format!("id {id}, country VARCHAR(8), {times}")),
            ("dataset_image", format!("id {number}, dataset_id VARCHAR(64), url VARCHAR(200)")),
            (
                "dataset",
                format!(
                    "id {id}, title VARCHAR(300), description TEXT, category VARCHAR(200), \
                     tags VARCHAR(500), price NUMERIC(10,2), status VARCHAR(16) NOT NULL, \
                     cover_id BIGINT, {times}"
                ),
            ),
            (
                "order_tab",
                format!(
                    "id {number}, {both}, amount NUMERIC(10,2), \
                     cancelled SMALLINT NOT NULL DEFAULT 0, {times}"
                ),
            ),
            ("api_order", format!("id {number}, {both}, calls INT NOT NULL, {times}")),
        ]
    }

    fn user_head(&self) -> &'static str {
        match self.dialect {
            Dialect::MySql => "INSERT INTO `user` (id, country, created_at, updated_at)",
            Dialect::Postgres => "INSERT INTO \"user\" (id, country, created_at, updated_at)",
        }
    }
}

impl Shape for Marketplace<'_> {
    fn begin(&mut self, out: &mut Script) -> Result<()> {
        for (name, columns) in self.tables() {
            out.run(&format!("DROP TABLE IF EXISTS {name}"))?;
            out.run(&format!("CREATE TABLE {name} ({columns})"))?;
            if name != "dataset_image" {
                let plain = name.trim_matches(['`', '"']);
                out.run(&format!("CREATE INDEX {plain}_changed ON {name} (updated_at, id)"))?;
            }
        }
        for user in users(self.spec) {
            let country = user.attributes.get("country").map_or("", String::as_str);
            let (id, country) = (out.text(&user.user_id), out.text(country));
            let at = out.time(user.created_ms);
            out.row(self.user_head(), format!("({id},{country},{at},{at})"))?;
        }
        for (number, item) in (1..).zip(items(self.spec)) {
            let id = out.text(&item.item_id);
            let url = out.text(&format!("https://img.example/{}.png", item.item_id));
            out.row(IMAGE, format!("({number},{id},{url})"))?;
            let texts =
                [&item.title, &item.description, &item.categories.join("|"), &item.tags.join("|")];
            let texts: Vec<_> = texts.into_iter().map(|text| out.text(text)).collect();
            let price = item.price.map_or("NULL".to_owned(), |price| format!("{price:.2}"));
            let (texts, at) = (texts.join(","), out.time(item.created_ms));
            out.row(DATASET, format!("({id},{texts},{price},'online',{number},{at},{at})"))?;
        }
        Ok(())
    }

    fn event(&mut self, event: &Event, out: &mut Script) -> Result<()> {
        let (user, item) = (out.text(&event.user), out.text(&event.item));
        let at = out.time(event.time_ms);
        let head = if event.kind == "order" { ORDER } else { CALL };
        out.row(head, format!("({user},{item},1,{at},{at})"))
    }

    fn end(&mut self, _: &mut Script) -> Result<()> {
        Ok(())
    }
}
