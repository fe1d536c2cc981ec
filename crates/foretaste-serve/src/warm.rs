//! Answers that are made before anybody asks: lists, and recommendations for who asked most, or,
//! when a server starts, for who was active last. Done before a server accepts and before a bundle
//! goes live, by the thread that does that, so that workers go on with requests.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foretaste_pipeline::{Listing, Scratch, TrendWindow};
use tracing::debug;

use crate::app::App;
use crate::http::computing::{Question, known};
use crate::prepare::Asked;
use crate::pressure::Rung;
use crate::ready::{PlainForm, Wanted};
use crate::snapshots::Pinned;

/// How long a start is put off at most.
pub(crate) const AT_START: Duration = Duration::from_secs(1);

/// Makes and keeps answers of a snapshot that serves now or will serve next, for no longer than
/// `longest` and `cache.warm_ms`.
///
/// # Cost
/// `cache.warm_users` uncached answers on this thread.
pub(crate) fn warm(app: &Arc<App>, pinned: &Arc<Pinned>, longest: Duration) {
    let most = app.config.cache.warm_users;
    if most == 0 || !app.ready.is_enabled() {
        return;
    }
    let began = Instant::now();
    let longest = longest.min(Duration::from_millis(app.config.cache.warm_ms));
    let mut scratch = Scratch::default();
    let mut made = 0;
    for which in [Listing::Trending(TrendWindow::Day), Listing::Popular, Listing::Latest] {
        let wanted = Wanted::List(which);
        made += usize::from(make(app, pinned, (None, wanted, Asked::default()), &mut scratch));
    }
    for PlainForm { user, scene, k, reasons } in likely(app, most) {
        if began.elapsed() > longest {
            break;
        }
        let asked = Asked { user: Some(user), k, reasons, ..Asked::default() };
        let scene = Some(&*scene).filter(|scene| !scene.is_empty());
        made += usize::from(make(app, pinned, (scene, Wanted::Recommend, asked), &mut scratch));
    }
    debug!(made, bundle = &*pinned.bundle_id, "answers made ahead");
}

/// What will be asked: what was asked most; then, for users who were active last, the same as
/// the others mostly ask, or what the default scene gives.
fn likely(app: &App, most: usize) -> Vec<PlainForm> {
    let mut forms = app.ready.most_asked(most);
    let mut seen = HashSet::new();
    forms.retain(|form| seen.insert(form.clone()));
    let users: HashSet<String> = forms.iter().map(|form| form.user.clone()).collect();
    let (scene, k, reasons) = match forms.first() {
        Some(form) => (form.scene.clone(), form.k, form.reasons),
        None => (String::new(), 0, false),
    };
    let active = app.recent.latest(most).into_iter().filter(|user| !users.contains(&**user));
    let active = active.take(most - forms.len());
    forms.extend(active.map(|user| PlainForm {
        user: user.to_string(),
        scene: scene.clone(),
        k,
        reasons,
    }));
    forms
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
