//! Families of metrics, as the registry collects them, written in one of the forms.

use crate::atoms;
use crate::boundary::{cell, inspect_binary, make_binary, tuple};
use crate::histogram::handle::with_histogram;
use crate::tried::Fault;
use histogram_core::snapshot::Snapshot;
use metrics_core::{
    names, Attribute, Encoder, Exemplar, Family, Kind, Label, Number, OpenMetrics, Otlp, Protobuf,
    Scale, Series, Text, Value,
};
use rustler::sys::*;
use std::borrow::Cow;

/// The most of what is held at a time.
const MAX_BOUNDS: usize = 1000;
const MAX_LABELS: usize = 100;
const MAX_EXEMPLARS: usize = 1000;
const MAX_ATTRIBUTES: usize = 1000;
/// The most bytes of an answer.
const MAX_SIZE: usize = 1 << 28;

/// Reads terms of the calling environment. `None` stands for a wrong one.
#[derive(Clone, Copy)]
struct Reader<'e> {
    env: *mut ErlNifEnv,
    /// What binaries lend lives as long as the call.
    lent: std::marker::PhantomData<&'e [u8]>,
}

impl<'e> Reader<'e> {
    /// # Safety
    /// `env` must be the calling environment, all terms given its own, and the reader gone when the call
    /// ends.
    unsafe fn new(env: *mut ErlNifEnv) -> Self {
        Reader {
            env,
            lent: std::marker::PhantomData,
        }
    }

    fn tuple<const N: usize>(self, term: ErlNifTerm) -> Option<[ErlNifTerm; N]> {
        // SAFETY: the promise of `new`.
        unsafe { tuple(self.env, term) }
    }

    fn bytes(self, term: ErlNifTerm) -> Option<&'e [u8]> {
        // SAFETY: the promise of `new`.
        unsafe { inspect_binary(self.env, term) }
    }

    /// Text from outside, which may be no UTF-8.
    fn text(self, term: ErlNifTerm) -> Option<Cow<'e, str>> {
        self.bytes(term).map(String::from_utf8_lossy)
    }

    fn name(self, term: ErlNifTerm, is_name: impl Fn(&[u8]) -> bool) -> Option<&'e str> {
        let bytes = self.bytes(term).filter(|bytes| is_name(bytes))?;
        std::str::from_utf8(bytes).ok()
    }

    fn number(self, term: ErlNifTerm) -> Option<Number> {
        let (mut integer, mut unsigned, mut float) = (0, 0, 0.0);
        // SAFETY: the promise of `new`.
        unsafe {
            if enif_get_int64(self.env, term, &mut integer) != 0 {
                Some(Number::Integer(integer))
            } else if enif_get_uint64(self.env, term, &mut unsigned) != 0 {
                Some(Number::Unsigned(unsigned))
            } else if enif_get_double(self.env, term, &mut float) != 0 {
                Some(Number::Float(float))
            } else {
                None
            }
        }
    }

    fn float(self, term: ErlNifTerm) -> Option<f64> {
        self.number(term).map(Number::as_f64)
    }

    /// Calls `read` with each element.
    fn list(
        self,
        mut list: ErlNifTerm,
        mut read: impl FnMut(ErlNifTerm) -> Option<()>,
    ) -> Option<()> {
        // SAFETY: the promise of `new`.
        unsafe {
            while let Some((head, tail)) = cell(self.env, list) {
                read(head)?;
                list = tail;
            }
            (enif_is_empty_list(self.env, list) != 0).then_some(())
        }
    }

    /// Pushes what each element is read as.
    fn up_to<T>(
        self,
        most: usize,
        list: ErlNifTerm,
        into: &mut Vec<T>,
        read: impl Fn(ErlNifTerm) -> Option<T>,
    ) -> Option<()> {
        self.list(list, |term| {
            let element = read(term).filter(|_| into.len() < most)?;
            into.push(element);
            Some(())
        })
    }

    fn labels(
        self,
        list: ErlNifTerm,
        is_name: fn(&[u8]) -> bool,
        into: &mut Vec<Label<'e>>,
    ) -> Option<()> {
        into.clear();
        self.list(list, |term| {
            let [name, value] = self.tuple(term)?;
            let name = self.name(name, is_name)?;
            let is_new = into.iter().all(|label| label.name != name);
            let value = self
                .text(value)
                .filter(|_| is_new && into.len() < MAX_LABELS)?;
            into.push(Label { name, value });
            Some(())
        })
    }

    fn exemplar(self, term: ErlNifTerm) -> Option<Exemplar<'e>> {
        let [list, value, time] = self.tuple(term)?;
        let mut labels = Vec::new();
        self.labels(list, names::is_word, &mut labels)?;
        Some(Exemplar {
            labels,
            value: self.float(value)?,
            time: self.float(time)?,
        })
    }

    fn bounds(self, list: ErlNifTerm) -> Option<Vec<f64>> {
        let mut bounds = Vec::new();
        self.up_to(MAX_BOUNDS, list, &mut bounds, |term| self.float(term))?;
        bounds
            .is_sorted_by(|low, high| low < high)
            .then_some(bounds)
    }

    /// A family, and the list of its series.
    fn family(self, term: ErlNifTerm) -> Option<(Family<'e>, ErlNifTerm)> {
        let [name, kind, help, unit, scale, bounds, series] = self.tuple(term)?;
        let kinds = [
            (atoms::counter(), Kind::Counter),
            (atoms::gauge(), Kind::Gauge),
            (atoms::histogram(), Kind::Histogram),
        ];
        let family = Family {
            name: self.name(name, names::is_metric)?,
            kind: kinds.iter().find(|(atom, _)| atom.as_c_arg() == kind)?.1,
            help: self.text(help)?,
            unit: self.text(unit)?,
            scale: Scale::new(self.float(scale)?)?,
            bounds: self.bounds(bounds)?,
        };
        Some((family, series))
    }

    /// What a histogram has counted since it was made, also before it was reset, since what is exposed
    /// never falls; or what a snapshot holds. `Some(None)` where it has gone meanwhile.
    fn snapshot(self, term: ErlNifTerm) -> Option<Option<Snapshot>> {
        if let Some(bytes) = self.bytes(term) {
            return Snapshot::decode(bytes).ok().map(Some);
        }
        // SAFETY: the promise of `new`.
        unsafe {
            let mut handle = 0;
            if enif_is_atom(self.env, term) == 0
                && enif_get_uint64(self.env, term, &mut handle) == 0
            {
                return None;
            }
            loop {
                match with_histogram(self.env, term, |live, _| live.cumulative(true)) {
                    // Names are locked for a moment only, and on a dirty scheduler one may wait.
                    Err(Fault::Busy) => std::thread::yield_now(),
                    read => return Some(read.and_then(|snapshot| snapshot).ok()),
                }
            }
        }
    }

    fn attribute(self, term: ErlNifTerm) -> Option<(&'e str, Attribute<'e>)> {
        let [key, value] = self.tuple(term)?;
        let key = std::str::from_utf8(self.bytes(key)?).ok()?;
        let value = if let Some(bytes) = self.bytes(value) {
            Attribute::Text(std::str::from_utf8(bytes).ok()?)
        } else if value == atoms::r#true().as_c_arg() {
            Attribute::Bool(true)
        } else if value == atoms::r#false().as_c_arg() {
            Attribute::Bool(false)
        } else {
            match self.number(value)? {
                Number::Integer(value) => Attribute::Integer(value),
                Number::Unsigned(_) => return None,
                Number::Float(value) => Attribute::Float(value),
            }
        };
        Some((key, value))
    }

    fn encoder(self, format: ErlNifTerm) -> Option<Box<dyn Encoder>> {
        if format == atoms::text().as_c_arg() {
            return Some(Box::new(Text::default()));
        }
        if format == atoms::openmetrics().as_c_arg() {
            return Some(Box::new(OpenMetrics::default()));
        }
        if format == atoms::protobuf().as_c_arg() {
            return Some(Box::new(Protobuf::default()));
        }
        let [kind, list, time] = self.tuple(format)?;
        let mut nanoseconds = 0;
        // SAFETY: the promise of `new`.
        let is_time = unsafe { enif_get_uint64(self.env, time, &mut nanoseconds) } != 0;
        if kind != atoms::otlp().as_c_arg() || !is_time {
            return None;
        }
        let mut resource = Vec::new();
        self.up_to(MAX_ATTRIBUTES, list, &mut resource, |term| {
            self.attribute(term)
        })?;
        Some(Box::new(Otlp::new(&resource, nanoseconds)))
    }

    fn encode(self, format: ErlNifTerm, families: ErlNifTerm) -> Option<Vec<u8>> {
        let mut encoder = self.encoder(format)?;
        // Of one series at a time.
        let mut labels = Vec::new();
        let mut exemplars = Vec::new();
        self.list(families, |term| {
            let (family, series) = self.family(term)?;
            encoder.open(&family);
            self.list(series, |term| {
                let [list, value, created, observed] = self.tuple(term)?;
                self.labels(list, names::is_label, &mut labels)?;
                exemplars.clear();
                self.up_to(MAX_EXEMPLARS, observed, &mut exemplars, |term| {
                    self.exemplar(term)
                })?;
                let created = self.float(created)?;
                let snapshot;
                let value = if family.kind == Kind::Histogram {
                    if labels.iter().any(|label| label.name == "le") {
                        return None;
                    }
                    match self.snapshot(value)? {
                        Some(counted) => {
                            snapshot = counted;
                            Value::Histogram(&snapshot)
                        }
                        None => return Some(()),
                    }
                } else {
                    Value::Number(self.number(value)?)
                };
                let series = Series {
                    labels: &labels,
                    value,
                    created,
                    exemplars: &exemplars,
                };
                encoder.series(&family, &series);
                (encoder.size() <= MAX_SIZE).then_some(())
            })?;
            encoder.close(&family);
            Some(())
        })?;
        Some(encoder.finish())
    }
}

unsafe fn metrics_encode(env: *mut ErlNifEnv, args: &[ErlNifTerm; 2]) -> ErlNifTerm {
    // SAFETY: `env` is the calling environment and `args` its terms; the reader goes no further.
    unsafe {
        match Reader::new(env).encode(args[0], args[1]) {
            Some(bytes) => make_binary(env, &bytes),
            None => enif_make_badarg(env),
        }
    }
}
nif!("metrics_encode", 2, DirtyCpu, metrics_encode);
