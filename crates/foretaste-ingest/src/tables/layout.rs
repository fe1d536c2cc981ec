//! What is asked for in a page, and how what comes becomes texts.
//!
//! A server takes longer to write a number or a moment as text than to find the row it stands in,
//! and so it does with digests. Columns of common types are therefore sent as they are and written
//! here, to the byte as the server would have written them; all others are cast there.

use foretaste_core::Result;

use super::config::Field;
use super::connection::Dialect;
use super::moment;
use super::schema::{Class, class_of};
use super::sql::{Statement, TEXT_CHARS, Writer};

/// How what the server sends becomes a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// It is one.
    Text,
    /// A whole number of PostgreSQL: big-endian.
    PgInteger,
    /// A whole number of MySQL: little-endian.
    MyInteger {
        /// Without sign.
        unsigned: bool,
    },
    /// A moment of PostgreSQL.
    PgMoment {
        /// With the zone behind it, which is UTC.
        zone: bool,
    },
    /// A moment of MySQL.
    MyMoment {
        /// Digits behind the seconds.
        digits: u8,
    },
    /// Nothing is sent: the row is not deleted, as no column says so.
    Present,
    /// The same text as an earlier cell of the row, whose place stands for that of a column.
    Again,
}

/// The columns of a page and the cells made of them: watermark, ids, deleted, fields by name.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// What is selected.
    pub select: Vec<String>,
    /// Of which column each cell is made, and how.
    pub cells: Vec<(usize, Form)>,
    /// Number of id columns.
    ids: usize,
}

impl Writer<'_> {
    /// What a page consists of.
    ///
    /// # Errors
    /// `Conflict` naming a column that is gone.
    pub fn layout(&self, out: &mut Statement) -> Result<Layout> {
        let mut layout = Layout { ids: self.table.id.len(), ..Layout::default() };
        for name in std::iter::once(&self.table.watermark).chain(&self.table.id) {
            match self.as_sent(name, true)? {
                Some(form) => layout.add(self.quoted(name), form),
                None => layout.add(self.raw_text(name)?, Form::Text),
            }
        }
        match &self.table.deleted {
            Some(_) => layout.add(self.deleted()?, Form::Text),
            None => layout.cells.push((usize::MAX, Form::Present)),
        }
        for field in self.table.fields.values() {
            if let Field::Column(name) = field
                && let Some(form) = self.as_sent(name, false)?
            {
                layout.add(self.quoted(name), form);
            } else {
                layout.add(self.field(field, out)?, Form::Text);
            }
        }
        Ok(layout)
    }

    /// How a column becomes the text that [`Writer::raw_text`] (or else [`Writer::text`]) is;
    /// `None` when only the server knows.
    fn as_sent(&self, reference: &str, raw: bool) -> Result<Option<Form>> {
        let name = self.schema.type_of(reference)?;
        Ok(match self.dialect {
            Dialect::Postgres => pg_form(name, raw),
            Dialect::MySql => mysql_form(name),
        })
    }
}

fn pg_form(name: &str, raw: bool) -> Option<Form> {
    match name {
        "smallint" | "integer" | "bigint" => Some(Form::PgInteger),
        _ if name.ends_with("[]") => None,
        _ if name.starts_with("timestamp") => {
            Some(Form::PgMoment { zone: raw && name.ends_with("with time zone") })
        }
        _ if length(name, "character varying(")? < TEXT_CHARS => Some(Form::Text),
        _ => None,
    }
}

fn mysql_form(name: &str) -> Option<Form> {
    if name.contains("zerofill") {
        return None;
    }
    if class_of(Dialect::MySql, name) == Class::Integer {
        return Some(Form::MyInteger { unsigned: name.contains("unsigned") });
    }
    let kind = name.split('(').next().unwrap_or(name);
    if matches!(kind, "datetime" | "timestamp") {
        let digits = length(name, "datetime(").or(length(name, "timestamp(")).unwrap_or(0);
        return Some(Form::MyMoment { digits: digits as u8 });
    }
    (length(name, "varchar(")? < TEXT_CHARS).then_some(Form::Text)
}

/// The number behind `prefix`.
fn length(name: &str, prefix: &str) -> Option<usize> {
    name.strip_prefix(prefix)?.split(')').next()?.parse().ok()
}

impl Layout {
    fn add(&mut self, sql: String, form: Form) {
        let known = self.select.iter().position(|own| *own == sql);
        // Two expressions with parameters look alike on MySQL and are not.
        let at = known.filter(|_| form != Form::Text).unwrap_or(self.select.len());
        if at == self.select.len() {
            self.select.push(sql);
        }
        let known = self.cells.iter().position(|cell| *cell == (at, form));
        self.cells.push(known.map_or((at, form), |cell| (cell, Form::Again)));
    }

    /// Place of the cell that says whether a row is deleted.
    pub fn deleted(&self) -> usize {
        1 + self.ids
    }

    /// Place of the first field.
    pub fn fields(&self) -> usize {
        2 + self.ids
    }
}

impl Form {
    /// Writes the text of what was sent; `None` when it is not what it should be.
    pub fn write(self, sent: &[u8], out: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Text => out.extend_from_slice(sent),
            Self::Present => out.push(b'0'),
            Self::Again => return None,
            Self::PgInteger => write_signed(signed(sent, true)?, out),
            Self::MyInteger { unsigned: false } => write_signed(signed(sent, false)?, out),
            Self::MyInteger { unsigned: true } => {
                let mut bytes = [0; 8];
                bytes.get_mut(..sent.len())?.copy_from_slice(sent);
                write_number(u64::from_le_bytes(bytes), out);
            }
            Self::PgMoment { zone } => moment::write_pg(signed(sent, true)?, zone, out),
            Self::MyMoment { digits } => moment::write_mysql(sent, digits.into(), out)?,
        }
        Some(())
    }
}

fn write_signed(number: i64, out: &mut Vec<u8>) {
    if number < 0 {
        out.push(b'-');
    }
    write_number(number.unsigned_abs(), out);
}

fn write_number(number: u64, out: &mut Vec<u8>) {
    let (mut digits, mut from, mut rest) = ([0; 20], 20, number);
    while from == 20 || rest > 0 {
        from -= 1;
        digits[from] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits[from..]);
}

fn signed(sent: &[u8], big_endian: bool) -> Option<i64> {
    let number = match (sent, big_endian) {
        ([only], _) => i64::from(*only as i8),
        ([a, b], true) => i64::from(i16::from_be_bytes([*a, *b])),
        ([a, b], false) => i64::from(i16::from_le_bytes([*a, *b])),
        (sent, true) if sent.len() == 4 => i64::from(i32::from_be_bytes(sent.try_into().ok()?)),
        (sent, false) if sent.len() == 4 => i64::from(i32::from_le_bytes(sent.try_into().ok()?)),
        (sent, true) => i64::from_be_bytes(sent.try_into().ok()?),
        (sent, false) => i64::from_le_bytes(sent.try_into().ok()?),
    };
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_by_type() {
        let pg = |name, raw, form| assert_eq!(pg_form(name, raw), form, "{name}");
        pg("timestamp(3) with time zone", true, Some(Form::PgMoment { zone: true }));
        pg("timestamp with time zone", false, Some(Form::PgMoment { zone: false }));
        pg("timestamp without time zone", true, Some(Form::PgMoment { zone: false }));
        pg("timestamp without time zone[]", true, None);
        pg("integer", false, Some(Form::PgInteger));
        pg("integer[]", false, None);
        pg("character varying(50)", false, Some(Form::Text));
        pg("character varying", false, None);
        pg("character(9)", false, None);
        let mysql = |name, form| assert_eq!(mysql_form(name), form, "{name}");
        mysql("bigint(20) unsigned", Some(Form::MyInteger { unsigned: true }));
        mysql("int(5) unsigned zerofill", None);
        mysql("datetime(6)", Some(Form::MyMoment { digits: 6 }));
        mysql("timestamp", Some(Form::MyMoment { digits: 0 }));
        mysql("varchar(50)", Some(Form::Text));
        mysql("varbinary(50)", None);
        mysql("date", None);
    }

    #[test]
    fn numbers_of_all_widths() {
        let check = |form: Form, sent: &[u8], expected: &str| {
            let mut out = Vec::new();
            assert_eq!(form.write(sent, &mut out).is_some(), !expected.is_empty());
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        let (mine, unsigned) =
            (Form::MyInteger { unsigned: false }, Form::MyInteger { unsigned: true });
        check(Form::PgInteger, &(-2i16).to_be_bytes(), "-2");
        check(Form::PgInteger, &7i32.to_be_bytes(), "7");
        check(Form::PgInteger, &[0; 8], "0");
        check(Form::PgInteger, &i64::MIN.to_be_bytes(), "-9223372036854775808");
        check(mine, &[0xff], "-1");
        check(mine, &(-300i32).to_le_bytes(), "-300");
        check(unsigned, &[0xff], "255");
        check(unsigned, &u64::MAX.to_le_bytes(), "18446744073709551615");
        check(Form::PgInteger, &[1, 2, 3], "");
    }
}
