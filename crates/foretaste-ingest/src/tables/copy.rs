//! Rows as PostgreSQL's `COPY ... TO STDOUT (FORMAT binary)` sends them, a row in each message:
//! the columns of a binary `SELECT`, without its descriptions, plans and acknowledgements.

use super::layout::{Form, Layout};
use super::page::Page;

/// What the first message begins with; 32 bits of flags and the length of an extension follow.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Stands where the number of columns does, behind the last row.
const END: i16 = -1;

/// Takes the messages of one copy.
pub struct Copied<'a> {
    layout: &'a Layout,
    is_begun: bool,
    /// Where each column of the row in hand lies in its message, used again.
    columns: Vec<Option<(usize, usize)>>,
}

impl<'a> Copied<'a> {
    /// For rows of what `layout` selects.
    pub fn new(layout: &'a Layout) -> Self {
        Self { layout, is_begun: false, columns: Vec::new() }
    }

    /// Appends the row of a message, if it has one; `None` when it is not what it should be.
    pub fn push(&mut self, message: &[u8], page: &mut Page) -> Option<()> {
        let mut at = 0;
        if !self.is_begun {
            at = head(message)?;
            self.is_begun = true;
        }
        while at < message.len() {
            match i16::from_be_bytes(bytes(message, &mut at)?) {
                END => return (at == message.len()).then_some(()),
                n if usize::try_from(n).ok()? == self.layout.select.len() => {}
                _ => return None,
            }
            self.find_columns(message, &mut at)?;
            for &(column, form) in &self.layout.cells {
                if form == Form::Again {
                    page.push_again(column);
                    continue;
                }
                // A cell for which nothing is sent is there.
                let sent = self.columns.get(column).copied().unwrap_or(Some((0, 0)));
                page.push(|out| match sent {
                    Some((from, to)) => {
                        form.write(&message[from..to], out).map(|()| true).ok_or(())
                    }
                    None => Ok(false),
                })
                .ok()?;
            }
        }
        Some(())
    }

    fn find_columns(&mut self, message: &[u8], at: &mut usize) -> Option<()> {
        self.columns.clear();
        for _ in 0..self.layout.select.len() {
            let length = i32::from_be_bytes(bytes(message, at)?);
            // -1 is NULL.
            let column = usize::try_from(length).ok().map(|length| (*at, *at + length));
            if let Some((_, end)) = column {
                message.get(*at..end)?;
                *at = end;
            }
            self.columns.push(column);
        }
        Some(())
    }
}

/// Where the first row begins.
fn head(message: &[u8]) -> Option<usize> {
    let mut at = SIGNATURE.len();
    let flags = message.strip_prefix(SIGNATURE).and_then(|_| bytes(message, &mut at))?;
    let extension = u32::from_be_bytes(bytes(message, &mut at)?) as usize;
    (u32::from_be_bytes(flags) == 0).then_some(at + extension)
}

fn bytes<const N: usize>(message: &[u8], at: &mut usize) -> Option<[u8; N]> {
    let (found, _) = message.get(*at..)?.split_first_chunk::<N>()?;
    *at += N;
    Some(*found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        let (select, mut layout) = (vec!["id".to_owned(), "sku".to_owned()], Layout::default());
        layout.select = select;
        layout.cells = vec![(1, Form::Text), (usize::MAX, Form::Present), (0, Form::PgInteger)];
        layout
    }

    fn head_and(rest: &[u8]) -> Vec<u8> {
        [SIGNATURE, &[0; 8], rest].concat()
    }

    #[test]
    fn rows_become_cells() {
        let layout = layout();
        let (mut copied, mut page) = (Copied::new(&layout), Page::new(3));
        let first = head_and(&[0, 2, 0, 0, 0, 4, 0, 0, 1, 0, 0, 0, 0, 2, b'a', b'b']);
        copied.push(&first, &mut page).unwrap();
        copied.push(&[0, 2, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], &mut page).unwrap();
        copied.push(&[0xff, 0xff], &mut page).unwrap();
        let rows: Vec<Vec<_>> = page.rows().map(|row| row.cells(0).collect()).collect();
        assert_eq!(rows[0], [Some(&b"ab"[..]), Some(b"0"), Some(b"256")]);
        assert_eq!(rows[1], [Some(&b""[..]), Some(b"0"), None]);
        assert_eq!(rows.len(), 2);
        let mut none = Page::new(3);
        Copied::new(&layout).push(&head_and(&[0xff, 0xff]), &mut none).unwrap();
        assert_eq!(none.len(), 0);
    }

    #[test]
    fn what_is_no_copy_is_refused() {
        let layout = layout();
        let check = |message: &[u8]| {
            let pushed = Copied::new(&layout).push(message, &mut Page::new(3));
            assert_eq!(pushed, None, "{message:?}");
        };
        check(b"");
        check(b"PGCOPY\n\xff\r\n\0\0\x01\0\0\0\0\0\0");
        check(&head_and(&[0, 3]));
        check(&head_and(&[0, 2, 0, 0, 0, 4, 0, 0]));
        check(&head_and(&[0, 2, 0, 0, 0, 3, 1, 2, 3, 0, 0, 0, 0]));
        check(&head_and(&[0xff, 0xff, 0]));
    }
}
