use std::ops::Range;

/// Fields of fewer digits are taken for numbers and names.
const SHORTEST_HEX: usize = 16;

/// Changes the log in `data[..size]` in one place, as a custom mutator of libFuzzer: mostly one field of one line, and what
/// a field has in hex as bytes. `mutate` is libFuzzer's own mutator: data, size and largest size to the new size.
pub fn mutate_log(
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    mutate: impl Fn(&mut [u8], usize, usize) -> usize,
) -> usize {
    let mut dice = Dice(seed);
    let lines: Vec<Range<usize>> = spans(&data[..size], 0, b'\n').collect();
    let line = lines[dice.roll(lines.len())].clone();
    let changed = match dice.roll(16) {
        0 => return mutate(data, size, max_size),
        // The line again after another one.
        1 => {
            let after = lines[dice.roll(lines.len())].end;
            let copy = [b"\n", &data[line]].concat();
            splice(&data[..size], after..after, &copy)
        }
        2 => splice(&data[..size], line.start..(line.end + 1).min(size), b""),
        _ => {
            let fields: Vec<Range<usize>> = spans(&data[..line.end], line.start, b' ').collect();
            let field = fields[dice.roll(fields.len())].clone();
            let content = changed_field(&data[field.clone()], max_size, mutate);
            splice(&data[..size], field, &content)
        }
    };
    if changed.len() > max_size {
        return size.min(max_size);
    }
    data[..changed.len()].copy_from_slice(&changed);
    changed.len()
}

fn changed_field(field: &[u8], max_size: usize, mutate: impl Fn(&mut [u8], usize, usize) -> usize) -> Vec<u8> {
    let packed = if field.len() < SHORTEST_HEX { None } else { const_hex::decode(field).ok() };
    let mut content = packed.clone().unwrap_or_else(|| field.to_vec());
    let size = content.len();
    content.resize(max_size.max(size), 0);
    let new_size = mutate(&mut content, size, max_size);
    content.truncate(new_size);
    if packed.is_some() { const_hex::encode(content).into_bytes() } else { content }
}

/// Where the parts between the `separator`s are from `start` on; at least one.
fn spans(data: &[u8], start: usize, separator: u8) -> impl Iterator<Item = Range<usize>> {
    let parts = data[start..].split(move |byte| *byte == separator);
    parts.scan(start, |next, part| {
        let span = *next..*next + part.len();
        *next = span.end + 1;
        Some(span)
    })
}

fn splice(data: &[u8], range: Range<usize>, new: &[u8]) -> Vec<u8> {
    [&data[..range.start], new, &data[range.end..]].concat()
}

/// A linear congruential generator, so that the same seed gives the same change.
struct Dice(u32);

impl Dice {
    /// A number under `sides`.
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as usize % sides
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flips the lowest bit of the first byte.
    fn flip(data: &mut [u8], size: usize, _: usize) -> usize {
        data[..size].iter_mut().take(1).for_each(|byte| *byte ^= 1);
        size
    }

    #[test]
    fn fields_change_in_place_and_hex_as_bytes() {
        let log = b"DMLOG A 1\nDMLOG B 00112233445566778899\n";
        let mut found = std::collections::BTreeSet::new();
        for seed in 0..1000 {
            let mut data = log.to_vec();
            data.resize(200, 0);
            let size = mutate_log(&mut data, log.len(), 200, seed, flip);
            found.insert(String::from_utf8(data[..size].to_vec()).unwrap());
        }
        for wanted in [
            "DMLOG A 0\nDMLOG B 00112233445566778899\n",
            "DMLOG A 1\nDMLOG B 01112233445566778899\n",
            "DMLOG A 1\nDMLOG C 00112233445566778899\n",
            "DMLOG B 00112233445566778899\n",
            "DMLOG A 1\nDMLOG A 1\nDMLOG B 00112233445566778899\n",
        ] {
            assert!(found.contains(wanted), "{wanted}");
        }
    }

    #[test]
    fn any_input_and_any_room() {
        for size in 0..4 {
            for max_size in 1..6 {
                for seed in 0..200 {
                    let mut data = vec![b'\n'; size.max(max_size)];
                    assert!(
                        mutate_log(&mut data, size, max_size, seed, |_, size, max_size| size.min(max_size)) <= max_size
                    );
                }
            }
        }
    }
}
