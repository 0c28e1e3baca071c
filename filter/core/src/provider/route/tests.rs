use super::*;

fn providers(more: &str) -> Providers {
    let text = format!(r#"{{"sink":{{"cluster":"c"}},"providers":{{{more}}}}}"#);
    Providers::new(&Config::parse(text.as_bytes(), &|_| None).expect("valid"))
}

fn told(route: &Route<'_>) -> String {
    match route {
        Route::Known { row, operation, rewrite } => {
            let rewrite = rewrite.as_ref().map(|r| format!(" to {} {}", r.authority, String::from_utf8_lossy(&r.path)));
            let operation = operation.as_ref().map_or_else(|| "nothing".to_owned(), name);
            format!("{} {operation}{}", row.id, rewrite.unwrap_or_default())
        }
        Route::Unknown { operation } => format!("unknown {}", name(operation)),
        Route::Pass => "pass".to_owned(),
        Route::NotFound { message } => message.clone(),
    }
}

fn name(matched: &Matched) -> String {
    matched.operation.dialect_name().to_owned()
}

fn post(providers: &Providers, authority: &str, path: &str) -> String {
    told(&providers.route(b"POST", authority.as_bytes(), path.as_bytes(), false))
}

#[test]
fn ok_hosts_win_and_keep_their_path() {
    let providers = providers("");
    assert_eq!(post(&providers, "API.openai.com:443", "/v1/chat/completions"), "openai openai.chat");
    assert_eq!(post(&providers, "api.groq.com", "/openai/v1/chat/completions"), "groq openai.chat");
    assert_eq!(
        post(&providers, "res.openai.azure.com", "/openai/deployments/x/chat/completions?api-version=1"),
        "azure-openai openai.chat"
    );
    assert_eq!(post(&providers, "api.openai.com", "/v1/models"), "openai nothing");
    assert_eq!(told(&providers.route(b"GET", b"api.openai.com", b"/v1/chat/completions", false)), "openai nothing");
}

#[test]
fn ok_the_prefix_is_stripped_only_at_our_own_authorities() {
    let providers = providers("");
    let expected = "anthropic anthropic.messages to api.anthropic.com /v1/messages?beta=true";
    for authority in ["127.0.0.1:10000", "localhost", "[::1]:80", "10.1.2.3"] {
        assert_eq!(post(&providers, authority, "/anthropic/v1/messages?beta=true"), expected, "{authority}");
    }
    assert_eq!(post(&providers, "llm.example", "/anthropic/v1/messages"), "unknown anthropic.messages");
    assert!(post(&providers, "localhost", "/azure-openai/chat/completions").contains("`authority`"));
    let signed = told(&providers.route(b"POST", b"localhost", b"/openai/v1/chat/completions", true));
    assert_eq!(signed, "unknown openai.chat", "a signature covers host and path");
}

#[test]
fn ok_unknown_hosts_by_configuration() {
    assert_eq!(post(&providers(""), "x.example", "/healthz"), "pass");
    assert_eq!(post(&providers(r#""unknown":"pass""#), "x.example", "/v1/chat/completions"), "pass");
    assert!(post(&providers(r#""unknown":"reject""#), "x.example", "/").contains("No provider"));
}

#[test]
fn ok_rows_of_the_operator_replace_and_add() {
    let providers = providers(
        r#""extra":[{"id":"openai","hosts":["api.openai.com"],"authority":"127.0.0.1:9","tls":false},
            {"id":"corp","hosts":["vllm.corp"],"dialects":["openai.chat"],"authority":"vllm.corp:8000","tls":false}]"#,
    );
    assert_eq!(
        post(&providers, "localhost", "/openai/v1/chat/completions"),
        "openai openai.chat to 127.0.0.1:9 /v1/chat/completions"
    );
    assert_eq!(post(&providers, "vllm.corp", "/v1/chat/completions"), "corp openai.chat");
    assert_eq!(post(&providers, "vllm.corp", "/v1/messages"), "corp nothing", "it does not speak that");
}

#[test]
fn ok_odd_paths_are_looked_through() {
    let providers = providers("");
    for path in ["/v1//chat/completions/", "/v1/chat%2Dx/../chat/completions", "/v1/ch%61t/completions?x#y"] {
        assert_eq!(post(&providers, "api.openai.com", path), "openai openai.chat", "{path}");
    }
}
