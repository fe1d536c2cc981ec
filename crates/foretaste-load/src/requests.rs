//! From the number of a request to its bytes: which kind, which user, which items, all from the
//! seed and the number alone, so that the same trace can be sent again to anybody.

use foretaste_core::Result;
use foretaste_core::rng::{Rng, split_mix};

use crate::ids::{Ids, json_text, number, percent_encode};
use crate::scenario::{Ask, Options, Request, Scenario};
use crate::target::Target;

#[cfg(test)]
mod tests;

/// Writes the requests of a run.
#[derive(Clone, Debug)]
pub struct Requests {
    seed: u64,
    /// Distinguishes the events and new users of one run from those of all others.
    tag: String,
    users: Ids,
    items: Ids,
    new_share: f64,
    /// Running sums of the weights, ending with their total.
    weights: Vec<f64>,
    forms: Vec<Form>,
}

/// The bytes of a kind of request, apart from what is drawn.
#[derive(Clone, Debug)]
struct Form {
    shape: Shape,
    /// Up to the first drawn part; whole for a fixed request.
    before: Vec<u8>,
    /// After the last drawn part: of the path up to the end of the head, or of the body.
    after: Vec<u8>,
    /// How many users, items or records are drawn.
    n: usize,
    /// Kinds of events as JSON texts.
    kinds: Vec<Vec<u8>>,
    is_slate: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Fixed,
    User,
    Item,
    UserItem,
    Session,
    Batch,
    Events,
}

/// Room for the drawn part of a body; one per thread, reused.
#[derive(Debug, Default)]
pub struct Scratch {
    body: Vec<u8>,
}

impl Requests {
    /// The requests of a scenario to a target. Two runs with different tags write different events.
    ///
    /// # Errors
    /// As [`Ids::load`].
    pub fn new(scenario: &Scenario, target: &Target, tag: &str) -> Result<Self> {
        let mut total = 0.0;
        let weights = scenario.requests.iter().map(|request| {
            total += request.weight;
            total
        });
        Ok(Self {
            seed: scenario.seed,
            tag: tag.to_owned(),
            users: Ids::load(&scenario.users)?,
            items: Ids::load(&scenario.items)?,
            new_share: scenario.users.new_share,
            weights: weights.collect(),
            forms: scenario.requests.iter().map(|r| form(r, scenario, target)).collect(),
        })
    }

    /// The same mix from another seed and under another tag: what warms up must not be what is
    /// measured.
    pub fn reseeded(&self, salt: u64) -> Self {
        let mut state = self.seed ^ salt;
        let seed = split_mix(&mut state);
        Self { seed, tag: format!("{}-{salt}", self.tag), ..self.clone() }
    }

    /// What the trace follows from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// How many kinds there are.
    pub fn n_kinds(&self) -> usize {
        self.forms.len()
    }

    /// Whether the answer to a kind is a slate, which says where it fell back.
    pub fn is_slate(&self, kind: usize) -> bool {
        self.forms[kind].is_slate
    }

    /// The kind of request `index`.
    pub fn kind(&self, index: u64) -> usize {
        self.pick(&mut Rng::stream(self.seed, index))
    }

    /// Appends the bytes of request `index` to `out` and returns its kind.
    ///
    /// # Cost
    /// About 100 ns for a recommendation; allocates nothing once `out` and `scratch` have grown.
    pub fn write(&self, index: u64, out: &mut Vec<u8>, scratch: &mut Scratch) -> usize {
        let mut rng = Rng::stream(self.seed, index);
        let kind = self.pick(&mut rng);
        let form = &self.forms[kind];
        out.extend(&form.before);
        match form.shape {
            Shape::Fixed => return kind,
            Shape::User => self.user_in_path(index, &mut rng, out),
            Shape::Item => self.items.write_path(self.items.draw(&mut rng), out),
            Shape::UserItem => {
                self.user_in_path(index, &mut rng, out);
                out.push(b'/');
                self.items.write_path(self.items.draw(&mut rng), out);
            }
            Shape::Session | Shape::Batch | Shape::Events => {
                scratch.body.clear();
                self.body(form, index, &mut rng, &mut scratch.body);
                number((scratch.body.len() + form.after.len()) as u64, out);
                out.extend(b"\r\n\r\n");
                out.extend(&scratch.body);
            }
        }
        out.extend(&form.after);
        kind
    }

    fn pick(&self, rng: &mut Rng) -> usize {
        let last = self.forms.len() - 1;
        if last == 0 {
            return 0;
        }
        let point = rng.f64() * self.weights[last];
        self.weights.iter().position(|&sum| point < sum).unwrap_or(last)
    }

    fn is_new(&self, rng: &mut Rng) -> bool {
        self.new_share > 0.0 && rng.f64() < self.new_share
    }

    fn user_in_path(&self, index: u64, rng: &mut Rng, out: &mut Vec<u8>) {
        if self.is_new(rng) {
            out.extend(b"new-");
            out.extend(self.tag.as_bytes());
            out.push(b'-');
            number(index, out);
        } else {
            self.users.write_path(self.users.draw(rng), out);
        }
    }

    fn user_in_json(&self, index: u64, rng: &mut Rng, out: &mut Vec<u8>) {
        if self.is_new(rng) {
            out.push(b'"');
            out.extend(b"new-");
            out.extend(self.tag.as_bytes());
            out.push(b'-');
            number(index, out);
            out.push(b'"');
        } else {
            self.users.write_json(self.users.draw(rng), out);
        }
    }

    /// The drawn part of a body.
    fn body(&self, form: &Form, index: u64, rng: &mut Rng, out: &mut Vec<u8>) {
        let opening: &[u8] = match form.shape {
            Shape::Session => b"{\"items\":[",
            Shape::Batch => b"{\"users\":[",
            _ if form.n > 1 => b"[",
            _ => b"",
        };
        out.extend(opening);
        for at in 0..form.n {
            if at > 0 {
                out.push(b',');
            }
            match form.shape {
                Shape::Session => self.items.write_json(self.items.draw(rng), out),
                Shape::Batch => self.users.write_json(self.users.draw(rng), out),
                _ => self.event(form, (index, at), rng, out),
            }
        }
    }

    fn event(&self, form: &Form, (index, at): (u64, usize), rng: &mut Rng, out: &mut Vec<u8>) {
        out.extend(b"{\"event_id\":\"load-");
        out.extend(self.tag.as_bytes());
        out.push(b'-');
        number(index, out);
        out.push(b'-');
        number(at as u64, out);
        out.extend(b"\",\"user\":");
        self.user_in_json(index, rng, out);
        out.extend(b",\"item\":");
        self.items.write_json(self.items.draw(rng), out);
        out.extend(b",\"kind\":");
        out.extend(&form.kinds[rng.below(form.kinds.len())]);
        out.push(b'}');
    }
}

fn form(request: &Request, scenario: &Scenario, target: &Target) -> Form {
    let get = |shape, path: &str, options: Option<&Options>| {
        let before = format!("GET {}{path}", target.base).into_bytes();
        let mut after = options.map_or(Vec::new(), query);
        head(&mut after, scenario, target);
        Form { shape, before, after, n: 0, kinds: Vec::new(), is_slate: true }
    };
    let post = |shape, path: &str, n| {
        let mut before = format!("POST {}{path}", target.base).into_bytes();
        head(&mut before, scenario, target);
        before.truncate(before.len() - 2);
        before.extend(b"content-type: application/json\r\ncontent-length: ");
        Form { shape, before, after: Vec::new(), n, kinds: Vec::new(), is_slate: true }
    };
    let fixed = |path: &str, options: Option<&Options>| {
        let mut form = get(Shape::Fixed, path, options);
        form.before.append(&mut form.after);
        form
    };
    match &request.ask {
        Ask::Recommend(options) => get(Shape::User, "/v1/recommend/", Some(options)),
        Ask::Similar(options) => get(Shape::Item, "/v1/similar/", Some(options)),
        Ask::Explain(options) => {
            Form { is_slate: false, ..get(Shape::UserItem, "/v1/explain/", Some(options)) }
        }
        Ask::Trending(options) => fixed("/v1/trending", Some(options)),
        Ask::Popular(options) => fixed("/v1/popular", Some(options)),
        Ask::Latest(options) => fixed("/v1/latest", Some(options)),
        Ask::Path { path } => Form { is_slate: false, ..fixed(path, None) },
        Ask::Session { items, options } => {
            let form = post(Shape::Session, "/v1/session/recommend", *items);
            Form { after: rest_of_body(options), ..form }
        }
        Ask::Batch { users, options } => {
            let form = post(Shape::Batch, "/v1/recommend:batch", *users);
            Form { after: rest_of_body(options), ..form }
        }
        Ask::Events { records, kinds } => {
            let form = post(Shape::Events, "/v1/events", *records);
            let after = if *records > 1 { b"]".to_vec() } else { Vec::new() };
            Form {
                after,
                kinds: kinds.iter().map(|kind| as_json(kind)).collect(),
                is_slate: false,
                ..form
            }
        }
    }
}

fn as_json(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    json_text(text, &mut out);
    out
}

/// The rest of a request's first line, and its head with the empty line.
fn head(out: &mut Vec<u8>, scenario: &Scenario, target: &Target) {
    out.extend(format!(" HTTP/1.1\r\nhost: {}\r\n", target.host).bytes());
    for (name, value) in &scenario.headers {
        out.extend(format!("{name}: {value}\r\n").bytes());
    }
    out.extend(b"\r\n");
}

fn query(options: &Options) -> Vec<u8> {
    let k = options.k.map(|k| k.to_string());
    let reasons = options.reasons.then_some("true");
    let pairs = [
        ("k", k.as_deref()),
        ("scene", options.scene.as_deref()),
        ("window", options.window.as_deref()),
        ("reasons", reasons),
    ];
    let mut out = Vec::new();
    for (name, value) in pairs.iter().filter_map(|(name, value)| value.map(|v| (name, v))) {
        out.push(if out.is_empty() { b'?' } else { b'&' });
        out.extend(name.bytes());
        out.push(b'=');
        percent_encode(value, &mut out);
    }
    out
}

/// What follows the list in a body.
fn rest_of_body(options: &Options) -> Vec<u8> {
    let mut out = b"]".to_vec();
    if let Some(k) = options.k {
        out.extend(format!(",\"k\":{k}").bytes());
    }
    if let Some(scene) = &options.scene {
        out.extend(b",\"scene\":");
        json_text(scene, &mut out);
    }
    if options.reasons {
        out.extend(b",\"reasons\":true");
    }
    out.push(b'}');
    out
}
