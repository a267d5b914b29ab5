//! The counts of the process, as `/metrics` writes them.

/// One count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample<'a> {
    pub(super) name: &'a str,
    labels: &'a str,
    pub(super) value: f64,
}

impl<'a> Sample<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (count, value) = line.rsplit_once(' ')?;
        let (name, labels) = count.split_once('{').unwrap_or((count, ""));
        Some(Self { name, labels: labels.trim_end_matches('}'), value: value.parse().ok()? })
    }

    /// The value of a label. Labels are made here: none has a quote in it.
    pub(super) fn label(&self, key: &str) -> &'a str {
        let mut pairs = self.labels.split("\",").filter_map(|pair| pair.split_once("=\""));
        pairs.find(|(name, _)| *name == key).map_or("", |(_, value)| value.trim_end_matches('"'))
    }
}

/// All counts of a text.
#[derive(Debug)]
pub(super) struct Samples<'a>(Vec<Sample<'a>>);

impl<'a> Samples<'a> {
    pub(super) fn parse(text: &'a str) -> Self {
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(Sample::parse).collect())
    }

    /// Those of a name, whatever their labels.
    pub(super) fn of(&self, name: &str) -> impl Iterator<Item = Sample<'a>> {
        self.0.iter().copied().filter(move |sample| sample.name == name)
    }

    /// Their sum.
    pub(super) fn total(&self, name: &str) -> f64 {
        self.of(name).fold(0.0, |sum, sample| sum + sample.value)
    }

    /// The one with that label.
    pub(super) fn with(&self, name: &str, key: &str, value: &str) -> f64 {
        self.of(name).find(|sample| sample.label(key) == value).map_or(0.0, |sample| sample.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_as_they_are_written() {
        let text = "# HELP a x\n# TYPE a counter\na{route=\"/tx/{id}\",status=\"200\"} 4\na{route=\"none\",status=\"404\"} 1.5\n\nb 7\n";
        let samples = Samples::parse(text);
        assert_eq!(samples.total("a"), 5.5);
        assert_eq!(samples.total("b"), 7.0);
        assert_eq!(samples.total("c"), 0.0);
        assert_eq!(samples.with("a", "route", "/tx/{id}"), 4.0);
        assert_eq!(samples.of("a").map(|it| it.label("status")).collect::<Vec<_>>(), ["200", "404"]);
    }
}
