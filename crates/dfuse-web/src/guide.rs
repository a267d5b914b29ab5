//! The documents that come with dfuse, as pages.

use std::borrow::Cow;

use dfuse_http::{AnswerForm, Api, Charge, Endpoint, Kind::Text, Parameter, Params, params::rules::text};
use dfuse_query::{ApiError, ApiResult, Class, ErrorCode, shorten};
use maud::{PreEscaped, html};
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html::push_html};

use crate::page::{HTML, Page};

const PATH: &str = "/guide";

macro_rules! documents {
    ($($name:literal),+ $(,)?) => { [$(($name, include_str!(concat!("../../../docs/", $name, ".md")))),+] };
}

/// Their names and texts. What is about the inside of dfuse stays in its repository.
const DOCUMENTS: [(&str, &str); 30] = documents![
    "SUMMARY",
    "quick-start",
    "concepts",
    "rest-api",
    "websocket",
    "graphql",
    "grpc",
    "firehose",
    "search",
    "explorer",
    "error-handling",
    "errors",
    "migrating-from-dfuse",
    "migrating-from-hyperion",
    "installing",
    "running-a-node",
    "following",
    "public-network",
    "many-machines",
    "sources",
    "snapshots",
    "filters",
    "access",
    "hardening",
    "operating",
    "configuration",
    "command-line",
    "boot",
    "benchmarks",
    "chain-facts",
];

pub(crate) fn endpoints() -> Vec<Endpoint> {
    const PARAMETERS: &[Parameter] = &[Parameter::required("document", Text, "its name").in_path()];
    let open = Charge::open(Class::LookUp);
    vec![
        Endpoint::get(PATH, open, contents).answers("A page: the documents of dfuse.", AnswerForm::Text(HTML)),
        Endpoint::get("/guide/{document}", open, document)
            .answers("A page: a document of dfuse.", AnswerForm::Text(HTML))
            .takes(PARAMETERS)
            .fails(&[ErrorCode::RouteNotFound]),
    ]
}

async fn contents(_: Api, params: Params) -> ApiResult<Page> {
    params.finish(())?;
    Ok(page(&contents_of(DOCUMENTS[0].1)))
}

/// The summary without what is no page, and with the chapters before its lists in paragraphs of their own.
fn contents_of(summary: &str) -> String {
    let is_there = |line: &&str| link_of(line).is_none_or(|link| target(link).is_some());
    let lines = summary.lines().filter(is_there);
    lines.flat_map(|line| [line, if line.starts_with('[') { "\n\n" } else { "\n" }]).collect()
}

/// Where a line of the summary leads.
fn link_of(line: &str) -> Option<&str> {
    line.split_once("](")?.1.strip_suffix(')')
}

async fn document(_: Api, mut params: Params) -> ApiResult<Page> {
    let name = params.required("document", text);
    let name = params.finish(name)?;
    let found = DOCUMENTS.iter().find(|(known, _)| *known == name);
    let (_, markdown) = found.ok_or_else(|| {
        let message = "There is no document of this name; /guide lists those that there are.";
        ApiError::new(ErrorCode::RouteNotFound, message).detail("path", shorten(&format!("{PATH}/{name}")))
    })?;
    Ok(page(markdown))
}

fn page(markdown: &str) -> Page {
    let (title, html) = rendered(markdown);
    let title = if title == "Summary" { "Guide".to_owned() } else { title };
    Page::new(title, "/openapi.json", html! { article.guide { (PreEscaped(html)) } })
}

/// The title of a document, and the rest of it as HTML, in which no heading is above the second level.
fn rendered(markdown: &str) -> (String, String) {
    let mut events: Vec<Event<'_>> = Vec::new();
    let (mut title, mut in_title, mut heading) = (String::new(), false, None);
    // Whether the link at work leads anywhere.
    let mut leads = true;
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { level: HeadingLevel::H1, .. }) if title.is_empty() => in_title = true,
            Event::End(TagEnd::Heading(HeadingLevel::H1)) if in_title => in_title = false,
            Event::Text(text) | Event::Code(text) if in_title => title.push_str(&text),
            Event::Start(Tag::Heading { level, id, classes, attrs }) => {
                heading = Some((events.len(), String::new()));
                events.push(Event::Start(Tag::Heading { level: level.max(HeadingLevel::H2), id, classes, attrs }));
            }
            Event::End(TagEnd::Heading(level)) => {
                if let Some((at, text)) = heading.take()
                    && let Some(Event::Start(Tag::Heading { id, .. })) = events.get_mut(at)
                {
                    *id = Some(anchor(&text).into());
                }
                events.push(Event::End(TagEnd::Heading(level.max(HeadingLevel::H2))));
            }
            Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                let target = target(&dest_url);
                leads = target.is_some();
                if let Some(target) = target {
                    let dest_url: CowStr<'_> = target.into_owned().into();
                    events.push(Event::Start(Tag::Link { link_type, dest_url, title, id }));
                }
            }
            Event::End(TagEnd::Link) if !leads => leads = true,
            // There is none, and there shall be none.
            Event::Html(text) | Event::InlineHtml(text) => events.push(Event::Text(text)),
            event => {
                if let (Some((_, heading)), Event::Text(text) | Event::Code(text)) = (&mut heading, &event) {
                    heading.push_str(text);
                }
                events.push(event);
            }
        }
    }
    let mut html = String::new();
    push_html(&mut html, events.into_iter());
    // What is wide scrolls, by the keyboard too.
    let html = html.replace("<pre>", "<pre tabindex=\"0\">").replace("</table>", "</table></div>");
    (title, html.replace("<table>", "<div class=\"scroll\" tabindex=\"0\"><table>"))
}

/// Where a link of a document leads from its page; nowhere, if it is to a file of the repository.
fn target(link: &str) -> Option<Cow<'_, str>> {
    if link.starts_with(['#', '/']) || link.contains("://") {
        return Some(link.into());
    }
    let (file, anchor) = link.split_at(link.find('#').unwrap_or(link.len()));
    let name = file.strip_suffix(".md")?;
    let is_known = DOCUMENTS.iter().any(|(known, _)| *known == name);
    is_known.then(|| format!("{PATH}/{name}{anchor}").into())
}

/// The address of a heading within its page, as other renderers make it.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    kept.chars()
        .filter(|it| it.is_alphanumeric() || " -_".contains(*it))
        .map(|it| if it == ' ' { '-' } else { it })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_pages() {
        let (title, html) = rendered("# A `b`\n\n## The *C* d\n\n[x](search.md#y) [z](decisions/z.md) <script>\n");
        assert_eq!(title, "A b");
        assert!(html.contains("<h2 id=\"the-c-d\">"), "{html}");
        assert!(html.contains("<a href=\"/guide/search#y\">x</a> z &lt;script&gt;"), "{html}");
    }

    #[test]
    fn all_documents_but_those_of_the_inside_are_pages() {
        let summary = DOCUMENTS[0].1;
        let (for_people, _) = summary.split_once("# Internals").unwrap();
        let absent = |text: &str| text.lines().filter_map(link_of).filter(|link| target(link).is_none()).count();
        assert!(absent(for_people) == 0 && absent(summary) > 0, "{for_people}");
        let (_, html) = rendered(&contents_of(summary));
        assert_eq!(html.matches("<li>").count(), html.matches("<li><a ").count(), "{html}");
        assert_eq!(html.matches("<p><a ").count(), 2, "{html}");
    }

    #[test]
    fn links_between_documents_lead_to_headings() {
        let all: Vec<_> = DOCUMENTS.iter().map(|(name, markdown)| (name, rendered(markdown).1)).collect();
        for (name, html) in &all {
            for link in html.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
                let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
                let to = if path.is_empty() { **name } else { path.strip_prefix("/guide/").unwrap_or_default() };
                let Some((_, target)) = all.iter().find(|(name, _)| **name == to) else { continue };
                assert!(anchor.is_empty() || target.contains(&format!(" id=\"{anchor}\"")), "{name} leads to {link}");
            }
        }
    }
}
