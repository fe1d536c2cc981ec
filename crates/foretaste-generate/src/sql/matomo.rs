//! The log tables of Matomo 5 with e-commerce, as far as they concern behaviour. A visit is what a
//! user does on one day; every third user is logged in. Favourites become carts.

use std::collections::BTreeMap;

use foretaste_core::{Event, Result, TimeMs};

use super::{Script, Shape};
use crate::{DAY_MS, Spec, items};

const TABLES: [(&str, &str); 5] = [
    (
        "matomo_log_visit",
        "idvisit BIGINT(10) UNSIGNED NOT NULL PRIMARY KEY AUTO_INCREMENT,
         idsite INTEGER(10) UNSIGNED NOT NULL, idvisitor BINARY(8) NOT NULL,
         visit_last_action_time DATETIME NOT NULL, config_id BINARY(8) NOT NULL,
         location_ip VARBINARY(16) NOT NULL, user_id VARCHAR(200) NULL,
         visit_first_action_time DATETIME NOT NULL, visit_total_time INT(11) UNSIGNED NOT NULL,
         visitor_count_visits INT(11) UNSIGNED NOT NULL DEFAULT 0, location_country CHAR(3) NULL,
         KEY index_idsite_datetime (idsite, visit_last_action_time),
         KEY index_idsite_idvisitor_time (idsite, idvisitor, visit_last_action_time)",
    ),
    (
        "matomo_log_action",
        "idaction INTEGER(10) UNSIGNED NOT NULL PRIMARY KEY AUTO_INCREMENT, name VARCHAR(4096),
         hash INTEGER(10) UNSIGNED NOT NULL, type TINYINT UNSIGNED NULL, url_prefix TINYINT(2) NULL,
         KEY index_type_hash (type, hash)",
    ),
    (
        "matomo_log_link_visit_action",
        "idlink_va BIGINT(10) UNSIGNED NOT NULL PRIMARY KEY AUTO_INCREMENT,
         idsite INT(10) UNSIGNED NOT NULL, idvisitor BINARY(8) NOT NULL,
         idvisit BIGINT(10) UNSIGNED NOT NULL, idaction_url INTEGER(10) UNSIGNED NULL,
         idaction_name INTEGER(10) UNSIGNED NULL, server_time DATETIME NOT NULL,
         idaction_product_sku INT(10) UNSIGNED NULL, product_price DOUBLE NULL,
         KEY index_idvisit (idvisit), KEY index_idsite_servertime (idsite, server_time)",
    ),
    (
        "matomo_log_conversion",
        "idvisit BIGINT(10) UNSIGNED NOT NULL, idsite INT(10) UNSIGNED NOT NULL,
         idvisitor BINARY(8) NOT NULL, server_time DATETIME NOT NULL, idgoal INT(10) NOT NULL,
         buster INT UNSIGNED NOT NULL, idorder VARCHAR(100) NULL, items SMALLINT UNSIGNED NULL,
         url VARCHAR(4096) NOT NULL, revenue DOUBLE NULL, PRIMARY KEY (idvisit, idgoal, buster),
         UNIQUE KEY unique_idsite_idorder (idsite, idorder)",
    ),
    (
        "matomo_log_conversion_item",
        "idsite INT(10) UNSIGNED NOT NULL, idvisitor BINARY(8) NOT NULL,
         server_time DATETIME NOT NULL, idvisit BIGINT(10) UNSIGNED NOT NULL,
         idorder VARCHAR(100) NOT NULL,
         idaction_sku INTEGER(10) UNSIGNED NOT NULL, idaction_name INTEGER(10) UNSIGNED NOT NULL,
         price DOUBLE NOT NULL, quantity INTEGER(10) UNSIGNED NOT NULL,
         deleted TINYINT(1) UNSIGNED NOT NULL, PRIMARY KEY (idvisit, idorder, idaction_sku),
         KEY index_idsite_servertime (idsite, server_time)",
    ),
];

const VISIT: &str = "INSERT INTO matomo_log_visit (idvisit, idsite, idvisitor, \
    visit_last_action_time, config_id, location_ip, user_id, visit_first_action_time, \
    visit_total_time)";
const ACTION: &str = "INSERT INTO matomo_log_action (idaction, name, hash, type, url_prefix)";
const LINK: &str = "INSERT INTO matomo_log_link_visit_action (idsite, idvisitor, idvisit, \
    idaction_url, idaction_name, server_time, idaction_product_sku)";
/// A visit has one cart, which is written again when it changes.
const CONVERSION: &str = "INSERT IGNORE INTO matomo_log_conversion (idvisit, idsite, idvisitor, \
    server_time, idgoal, buster, idorder, items, url, revenue)";
const BOUGHT: &str = "INSERT IGNORE INTO matomo_log_conversion_item (idsite, idvisitor, \
    server_time, idvisit, idorder, idaction_sku, idaction_name, price, quantity, deleted)";

struct Visit {
    number: u64,
    first_ms: TimeMs,
    last_ms: TimeMs,
}

/// The schema at work.
pub(super) struct Matomo<'a> {
    spec: &'a Spec,
    /// Number of an item's SKU among the actions.
    skus: BTreeMap<String, u64>,
    /// The present visit of each user.
    visits: BTreeMap<String, Visit>,
    n_visits: u64,
    n_orders: u64,
}

impl<'a> Matomo<'a> {
    pub(super) fn new(spec: &'a Spec) -> Self {
        let (skus, visits) = (BTreeMap::new(), BTreeMap::new());
        Self { spec, skus, visits, n_visits: 0, n_orders: 0 }
    }

    /// Number of the visit that this event belongs to.
    fn visit(&mut self, event: &Event, out: &mut Script) -> Result<u64> {
        let (user, time_ms) = (&event.user, event.time_ms);
        if let Some(visit) = self.visits.get_mut(user) {
            if visit.first_ms / DAY_MS == time_ms / DAY_MS {
                visit.last_ms = visit.last_ms.max(time_ms);
                return Ok(visit.number);
            }
            write_visit(user, visit, out)?;
        }
        self.n_visits += 1;
        let visit = Visit { number: self.n_visits, first_ms: time_ms, last_ms: time_ms };
        self.visits.insert(user.clone(), visit);
        Ok(self.n_visits)
    }

    fn conversion(&mut self, event: &Event, visit: u64, out: &mut Script) -> Result<()> {
        let (visitor, at) = (visitor(&event.user), out.time(event.time_ms));
        let (goal, buster, order) = if event.kind == "order" {
            self.n_orders += 1;
            (0, self.n_orders, format!("'o{}'", self.n_orders))
        } else {
            (-1, 0, "NULL".to_owned())
        };
        let row = format!("({visit},1,{visitor},{at},{goal},{buster},{order},1,'',10)");
        out.row(CONVERSION, row)?;
        let order = if goal == 0 { order } else { "'0'".to_owned() };
        let sku = self.skus.get(&event.item).copied().unwrap_or_default();
        let row = format!("(1,{visitor},{at},{visit},{order},{sku},{},10,1,0)", sku + 1);
        out.row(BOUGHT, row)
    }
}

impl Shape for Matomo<'_> {
    fn begin(&mut self, out: &mut Script) -> Result<()> {
        for (name, columns) in TABLES {
            out.run(&format!("DROP TABLE IF EXISTS {name}"))?;
            let engine = "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4";
            out.run(&format!("CREATE TABLE {name} ({columns}) {engine}"))?;
        }
        for (at, item) in items(self.spec).enumerate() {
            // SKU, name and page of an item follow each other.
            let number = 3 * at as u64 + 1;
            let page = format!("shop.example/item/{}", item.item_id);
            let three = [(&item.item_id, 5, "NULL"), (&item.title, 6, "NULL"), (&page, 1, "2")];
            for (place, (name, kind, prefix)) in three.into_iter().enumerate() {
                let (number, name) = (number + place as u64, out.text(name));
                out.row(ACTION, format!("({number},{name},CRC32({name}),{kind},{prefix})"))?;
            }
            self.skus.insert(item.item_id, number);
        }
        Ok(())
    }

    fn event(&mut self, event: &Event, out: &mut Script) -> Result<()> {
        let visit = self.visit(event, out)?;
        if event.kind == "order" || event.kind == "favourite" {
            return self.conversion(event, visit, out);
        }
        let (visitor, at) = (visitor(&event.user), out.time(event.time_ms));
        let sku = self.skus.get(&event.item).copied().unwrap_or_default();
        let row = format!("(1,{visitor},{visit},{},{},{at},{sku})", sku + 2, sku + 1);
        out.row(LINK, row)
    }

    fn end(&mut self, out: &mut Script) -> Result<()> {
        self.visits.iter().try_for_each(|(user, visit)| write_visit(user, visit, out))
    }
}

fn write_visit(user: &str, visit: &Visit, out: &mut Script) -> Result<()> {
    let Visit { number, first_ms, last_ms } = visit;
    let (first, last) = (out.time(*first_ms), out.time(*last_ms));
    let (visitor, seconds) = (visitor(user), (last_ms - first_ms) / 1000);
    let known = if is_logged_in(user) { out.text(user) } else { "NULL".to_owned() };
    let config = "'config..',UNHEX('7F000001')";
    let row = format!("({number},1,{visitor},{last},{config},{known},{first},{seconds})");
    out.row(VISIT, row)
}

/// As Matomo makes it of a user id; for others it would be random.
fn visitor(user: &str) -> String {
    format!("UNHEX(LEFT(SHA1('{user}'),16))")
}

fn is_logged_in(user: &str) -> bool {
    user.bytes().map(u32::from).sum::<u32>() % 3 == 0
}
