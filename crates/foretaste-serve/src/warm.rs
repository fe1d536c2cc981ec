//! Answers that are made before anybody asks: lists, and recommendations for who was active last,
//! in the form that was asked for last. Done before a server accepts and before a bundle goes
//! live, by the thread that does that, so that workers go on with requests.

use std::sync::{Arc, Mutex, PoisonError};

use foretaste_pipeline::{Listing, Scratch, TrendWindow};
use tracing::debug;

use crate::app::App;
use crate::http::computing::{Question, known};
use crate::prepare::Asked;
use crate::pressure::Rung;
use crate::ready::Wanted;
use crate::snapshots::Pinned;

/// The form in which recommendations were asked for last.
#[derive(Clone, Debug, Default)]
struct Form {
    scene: Option<Arc<str>>,
    k: usize,
    reasons: bool,
}

/// Remembers a form.
#[derive(Debug, Default)]
pub(crate) struct LastForm(Mutex<Form>);

impl LastForm {
    /// Takes note of a question whose answer was not ready; only plain ones are worth repeating.
    pub(crate) fn note(&self, scene: &str, wanted: &Wanted, asked: &Asked) {
        let is_plain = asked.user.is_some()
            && asked.filter.is_none()
            && asked.exclude.is_empty()
            && asked.session.is_empty();
        if is_plain && matches!(wanted, Wanted::Recommend) {
            let mut form = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if form.scene.as_deref() != Some(scene) {
                form.scene = Some(scene.into());
            }
            (form.k, form.reasons) = (asked.k, asked.reasons);
        }
    }

    fn get(&self) -> Form {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Makes and keeps answers of a snapshot that serves now or will serve next.
///
/// # Cost
/// `cache.warm_users` uncached answers on this thread.
pub(crate) fn warm(app: &Arc<App>, pinned: &Arc<Pinned>) {
    let most = app.config.cache.warm_users;
    if most == 0 || !app.ready.is_enabled() {
        return;
    }
    let mut scratch = Scratch::default();
    let mut made = 0;
    for which in [Listing::Trending(TrendWindow::Day), Listing::Popular, Listing::Latest] {
        let wanted = Wanted::List(which);
        made += usize::from(make(app, pinned, (None, wanted, Asked::default()), &mut scratch));
    }
    let form = app.last_form.get();
    for user in app.recent.latest(most) {
        let user = Some(user.to_string());
        let asked = Asked { user, k: form.k, reasons: form.reasons, ..Asked::default() };
        let asked = (form.scene.as_deref(), Wanted::Recommend, asked);
        made += usize::from(make(app, pinned, asked, &mut scratch));
    }
    debug!(made, bundle = &*pinned.bundle_id, "answers made ahead");
}

/// True when an answer was made; one that is there already, or that needs the store or a channel
/// outside of the process, is not.
fn make(
    app: &Arc<App>,
    pinned: &Arc<Pinned>,
    (scene, wanted, asked): (Option<&str>, Wanted, Asked),
    scratch: &mut Scratch,
) -> bool {
    let began = app.ready.cache().begin();
    let Ok(scene) = app.scene(scene) else { return false };
    if wanted.is_of_user() && app.externals.ttl_ms(scene).is_some() {
        return false;
    }
    let (known, has_taste) = known(app, pinned, asked.user.as_deref());
    if asked.user.is_some() && !has_taste {
        return false;
    }
    let key = app.ready.key(pinned, scene, &wanted, (&asked, &known));
    let Some(key) = key.filter(|key| app.ready.cache().probe(key).is_none()) else { return false };
    let share = wanted.share();
    let question = Question::new(Arc::clone(pinned), scene, (wanted.clone(), asked), known);
    let Ok(made) = question.work(app, Rung::Whole, scratch) else { return false };
    app.ready.cache().keep(began, &key, share, made.fresh(&wanted));
    true
}
