package ipc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

func loadOpenAPI(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// equal fails unless both sides have the same members.
func equal[T ~string](t *testing.T, what string, inCode, inDescription []T) {
	t.Helper()
	slices.Sort(inCode)
	slices.Sort(inDescription)
	if !slices.Equal(inCode, inDescription) {
		t.Errorf("%s: the code has %q, openapi.yaml %q", what, inCode, inDescription)
	}
}

func TestOpenAPIIsValid(t *testing.T) {
	if err := loadOpenAPI(t).Validate(t.Context()); err != nil {
		t.Error(err)
	}
}

// Every route is described, with those who may call it and its parameters; and nothing else is.
func TestOpenAPIRoutes(t *testing.T) {
	doc := loadOpenAPI(t)
	callers := map[Role][]string{
		anyone: {"anyone"}, owner: {"owner"}, ownerOrHelpdesk: {"owner", "helpdesk"}, selfOrHelpdesk: {"self", "helpdesk"},
	}
	var inCode, inDescription []string
	for path, item := range doc.Paths.Map() {
		if item.Extensions["x-reserved"] == true {
			continue
		}
		for method := range item.Operations() {
			inDescription = append(inDescription, method+" "+path)
		}
	}
	names := regexp.MustCompile(`\{(\w+)\}`)
	for _, route := range routes {
		name := route.method + " " + route.path
		inCode = append(inCode, name)
		item := doc.Paths.Value(route.path)
		if item == nil || item.GetOperation(route.method) == nil {
			continue
		}
		operation := item.GetOperation(route.method)
		equal(t, name+": callers", callers[route.who], texts(operation.Extensions["x-callers"]))
		var path, query []string
		for _, match := range names.FindAllStringSubmatch(route.path, -1) {
			path = append(path, match[1])
		}
		for _, parameter := range append(slices.Clone(item.Parameters), operation.Parameters...) {
			switch parameter.Value.In {
			case "path":
				path = slices.DeleteFunc(path, func(name string) bool { return name == parameter.Value.Name })
			case "query":
				query = append(query, parameter.Value.Name)
			}
			if parameter.Value.Description == "" {
				t.Errorf("%s: %s is not described", name, parameter.Value.Name)
			}
		}
		equal(t, name+": query", slices.Clone(route.query), query)
		if len(path) > 0 {
			t.Errorf("%s: %q in its path are not described", name, path)
		}
		if (operation.RequestBody != nil) != (route.method == "POST") {
			t.Errorf("%s: describes a body, or does not", name)
		}
	}
	equal(t, "routes", inCode, inDescription)
}

func texts(list any) (texts []string) {
	for _, item := range list.([]any) {
		texts = append(texts, item.(string))
	}
	return texts
}

// Every field of every type on the wire is described, as required where it is always there, and nothing else is.
func TestOpenAPIFields(t *testing.T) {
	doc := loadOpenAPI(t)
	described := map[string]bool{"State": true, "Reason": true, "Time": true, "OptionalTime": true, "ErrorCode": true, "Nothing": true}
	for _, value := range []any{Entry{}, EntryList{}, Token{}, Receipt{}, Explanation{}, Status{}, Configuration{}, Keystore{}, Whoami{}, Error{}} {
		kind := reflect.TypeOf(value)
		described[kind.Name()] = true
		compareFields(t, doc, kind.Name(), kind, true)
	}
	described["Removed"] = true
	compareFields(t, doc, "Removed", reflect.TypeFor[removedData](), true)
	described["ResetRequest"] = true
	compareFields(t, doc, "ResetRequest", reflect.TypeFor[ResetRequest](), false)
	described["Activation"] = true
	compareFields(t, doc, "Activation", reflect.TypeFor[struct {
		Code string `json:"code"`
	}](), true)
	equal(t, "schemas", slices.Collect(maps.Keys(described)), slices.Collect(maps.Keys(doc.Components.Schemas)))

	// The bodies' fields are those that the server takes.
	_, socket := serve(t, newBackend(Owner), ServerOptions{})
	for path, want := range map[string]string{"reset": "ResetRequest", "activate": "Activation", "code": "Nothing", "reject": "Nothing"} {
		operation := doc.Paths.Value("/v1/tokens/{connector}/{user}/" + path).Post
		schema := operation.RequestBody.Value.Content["application/json"].Schema
		if schema.Ref != "#/components/schemas/"+want || *schema.Value.AdditionalProperties.Has {
			t.Errorf("%s takes %s, or any field", path, schema.Ref)
		}
		fields := make(map[string]any)
		for name := range schema.Value.Properties {
			fields[name] = nil
		}
		_, answer := exchange(t, socket, "POST /v1/tokens/payroll/12345.jan/"+path+" HTTP/1.0\r\nContent-Length: 15\r\n\r\n{\"nonsense\": 1}")
		if !strings.Contains(answer, knownFields(fields)) {
			t.Errorf("%s is described to take %q, but: %s", path, slices.Collect(maps.Keys(fields)), answer)
		}
	}
}

func compareFields(t *testing.T, doc *openapi3.T, name string, kind reflect.Type, answers bool) {
	t.Helper()
	schema := doc.Components.Schemas[name]
	if schema == nil {
		t.Errorf("%s is not described", name)
		return
	}
	var fields, required, described []string
	for i := range kind.NumField() {
		field, options, _ := strings.Cut(kind.Field(i).Tag.Get("json"), ",")
		if field == "" || field == "-" {
			continue
		}
		fields = append(fields, field)
		if answers && options != "omitempty" {
			required = append(required, field)
		}
	}
	for field, property := range schema.Value.Properties {
		described = append(described, field)
		if property.Ref == "" && property.Value.Description == "" && field != "entries" {
			t.Errorf("%s.%s is not explained", name, field)
		}
	}
	equal(t, name, fields, described)
	equal(t, name+", always there", required, slices.Clone(schema.Value.Required))
}

// Every error code and state is described, and every status of a code has an answer.
func TestOpenAPICodes(t *testing.T) {
	doc := loadOpenAPI(t)
	text, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	enum := func(name string) (values []string) {
		for _, value := range doc.Components.Schemas[name].Value.Enum {
			values = append(values, value.(string))
		}
		return values
	}
	var codes []string
	for code, problem := range problems {
		codes = append(codes, string(code))
		if problem.title == "" || problem.status < 400 {
			t.Errorf("%s has no title or status", code)
		}
		described := false
		for _, response := range doc.Components.Responses {
			described = described || strings.Contains(*response.Value.Description, "`"+string(code)+"`")
		}
		if !described {
			t.Errorf("no answer says when it is %s", code)
		}
		if code != NotFound && !bytes.Contains(text, fmt.Appendf(nil, "\n        \"%d\": ", problem.status)) {
			t.Errorf("no call answers %s with %d", code, problem.status)
		}
	}
	equal(t, "codes", codes, enum("ErrorCode"))
	source, err := os.ReadFile("types.go")
	if err != nil {
		t.Fatal(err)
	}
	var states []string
	for _, match := range regexp.MustCompile(`State += "(\w+)"`).FindAllSubmatch(source, -1) {
		states = append(states, string(match[1]))
	}
	equal(t, "states", states, enum("State"))
	for _, event := range []string{snapshotEvent, entryEvent, removedEvent} {
		if !strings.Contains(doc.Paths.Value("/v1/events").Get.Description, "`"+event+"`") {
			t.Errorf("the event %s is not described", event)
		}
	}
	for _, limit := range []string{"64 KiB", "16 KiB", "2,048", "256", "5 s", "10 s", "2 min", "15 s"} {
		if !bytes.Contains(text, []byte(limit)) {
			t.Errorf("the limit %s is not described", limit)
		}
	}
}

// What a real server answers is what the description says, fields with and without a value, problems included.
func TestOpenAPIAnswers(t *testing.T) {
	doc := loadOpenAPI(t)
	backend := newBackend(Owner | Helpdesk)
	_, path := serve(t, backend, ServerOptions{})
	checked := 0
	check := func(route route, request string, wantStatus int) {
		t.Helper()
		response, body := exchange(t, path, request)
		if response.StatusCode != wantStatus {
			t.Errorf("%s: %s: %s", route.path, response.Status, body)
		}
		operation := doc.Paths.Value(route.path).GetOperation(route.method)
		described := operation.Responses.Value(strconv.Itoa(response.StatusCode))
		if described == nil {
			t.Errorf("%s %s: %s is not described", route.method, route.path, response.Status)
			return
		}
		for name, header := range described.Value.Headers {
			if response.Header.Get(name) == "" {
				t.Errorf("%s: no %s (%s)", route.path, name, header.Value.Description)
			}
		}
		content := described.Value.Content[response.Header.Get("Content-Type")]
		if content == nil {
			t.Errorf("%s: the type %s is not described", route.path, response.Header.Get("Content-Type"))
			return
		}
		var value any
		if err := json.Unmarshal([]byte(body), &value); err != nil {
			t.Fatal(err)
		}
		if err := doc.ValidateSchemaJSON(content.Schema.Value, value, openapi3.EnableJSONSchema2020()); err != nil {
			t.Errorf("%s: %v", route.path, err)
		}
		checked++
	}
	for _, route := range routes {
		if route.path == "/v1/events" { // see TestEventStream
			continue
		}
		target := strings.NewReplacer("{connector}", "payroll", "{user}", url.PathEscape(jan.User)).Replace(route.path)
		body := ""
		if strings.HasSuffix(target, "activate") {
			body = `{"code": "3426 4813"}`
		}
		rest := fmt.Sprintf(" HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		check(route, route.method+" "+target+rest, http.StatusOK)
		check(route, route.method+" "+target+"?nonsense=1"+rest, http.StatusBadRequest)
		if route.who&(anyone|self) == 0 {
			backend.grant(0)
			check(route, route.method+" "+target+rest, http.StatusForbidden)
			backend.grant(Owner | Helpdesk)
		}
	}
	if checked < 2*len(routes) {
		t.Errorf("checked %d answers only", checked)
	}
	// Answers in which nothing is set have what is required too.
	for _, value := range []any{Entry{State: Idle}, EntryList{Entries: []Entry{}}, Receipt{Before: Entry{State: Idle}, After: Entry{State: Idle}},
		Explanation{}, Status{API: []string{"v1"}, Configuration: Configuration{Files: []string{}}, Entries: map[State]int{}}, Whoami{Accounts: []string{}, Groups: []string{}, Roles: []string{}}, NewError(Denied, "", "")} {
		text, err := encode(value)
		if err != nil {
			t.Fatal(err)
		}
		var bare any
		if err := json.Unmarshal(text, &bare); err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(reflect.TypeOf(value).String(), "*")
		schema := doc.Components.Schemas[strings.TrimPrefix(name, "ipc.")].Value
		if err := doc.ValidateSchemaJSON(schema, bare, openapi3.EnableJSONSchema2020()); err != nil {
			t.Errorf("a bare %s: %v", name, err)
		}
	}
}
