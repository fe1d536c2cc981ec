//! Cuts rows that come one after another into pages.

use futures_util::{Stream, TryStreamExt};
use sqlx::mysql::{MySql, MySqlQueryResult, MySqlRow};
use sqlx::{Decode, Either, Row as _, ValueRef as _};

use super::copy::Copied;
use super::layout::{Form, Layout};
use super::page::Page;

/// Takes a page, and gives the one to be filled next; `None`: no more is wanted.
pub type Each<'a> = dyn FnMut(Page) -> Option<Page> + 'a;

/// What MySQL sends: rows, and behind the last one how many they were.
type Sent = Either<MySqlQueryResult, MySqlRow>;

/// Cuts a stream of rows into pages.
pub struct Pages<'a> {
    layout: &'a Layout,
    rows: usize,
    each: &'a mut Each<'a>,
    page: Page,
}

impl<'a> Pages<'a> {
    /// Pages of at most `rows` rows in the form of `layout` go to `each`.
    pub fn new(layout: &'a Layout, rows: usize, each: &'a mut Each<'a>) -> Self {
        Self { layout, rows, each, page: Page::new(layout.cells.len()) }
    }

    /// Takes the messages of a copy. True when all were taken.
    pub async fn copy<B: AsRef<[u8]>>(
        mut self,
        mut messages: impl Stream<Item = Result<B, sqlx::Error>> + Unpin,
    ) -> Result<bool, sqlx::Error> {
        let mut copied = Copied::new(self.layout);
        while let Some(message) = messages.try_next().await? {
            let unlike = || sqlx::Error::Protocol("a row is not what was asked for".to_owned());
            copied.push(message.as_ref(), &mut self.page).ok_or_else(unlike)?;
            if !self.hand_over() {
                return Ok(false);
            }
        }
        Ok(self.end())
    }

    /// Takes the rows of a query of MySQL. True when all were taken.
    pub async fn fill(
        mut self,
        mut rows: impl Stream<Item = Result<Sent, sqlx::Error>> + Unpin,
    ) -> Result<bool, sqlx::Error> {
        while let Some(sent) = rows.try_next().await? {
            let Either::Right(row) = sent else { continue };
            self.push(&row)?;
            if !self.hand_over() {
                return Ok(false);
            }
        }
        Ok(self.end())
    }

    /// Hands a full page over. False when no more is wanted.
    fn hand_over(&mut self) -> bool {
        if !self.page.is_full(self.rows) {
            return true;
        }
        match (self.each)(std::mem::take(&mut self.page)) {
            Some(next) => self.page = next,
            None => return false,
        }
        true
    }

    /// Hands the last page over. All rows were taken.
    fn end(self) -> bool {
        if self.page.len() > 0 {
            (self.each)(self.page);
        }
        true
    }

    fn push(&mut self, row: &MySqlRow) -> Result<(), sqlx::Error> {
        for &(at, form) in &self.layout.cells {
            let sent = match form {
                Form::Again => {
                    self.page.push_again(at);
                    continue;
                }
                Form::Present => Some(&[][..]),
                _ => sent(row, at)?,
            };
            self.page.push(|out| {
                let Some(sent) = sent else { return Ok(false) };
                let unlike = || sqlx::Error::Protocol(format!("column {at} is not {form:?}"));
                form.write(sent, out).ok_or_else(unlike).map(|()| true)
            })?;
        }
        Ok(())
    }
}

/// What was sent of a column. A zero date counts as NULL for sqlx, and has bytes.
fn sent(row: &MySqlRow, at: usize) -> Result<Option<&[u8]>, sqlx::Error> {
    match <&[u8] as Decode<'_, MySql>>::decode(row.try_get_raw(at)?) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(_) if row.try_get_raw(at)?.is_null() => Ok(None),
        Err(source) => Err(sqlx::Error::Decode(source)),
    }
}
