// A rival in Go: fasthttp, fastjson and redigo, with the duties and the environment of the other peers.
//
// A request costs one call of the pipeline (pipeline.go): the client's counter is incremented and the identity read
// together. Only the first request of a client's window and an identity that is not there yet cost a second one. What is
// kept of an identity is generated, expires (24 bytes each) and the token (identity.go).
package main

import (
	"log"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fastjson"
)

const maxRows = 1000

type server struct {
	pipeline *pipeline
	issuer   *issuer
	limit    int64
	window   int64 // seconds
}

// scratch is what a request needs to write into; reused, so that a request allocates next to nothing.
type scratch struct {
	call   *call
	cell   []byte
	keys   [][]byte
	body   []byte
	reset  int64 // seconds
	parser fastjson.Parser
}

var scratches = sync.Pool{New: func() interface{} { return &scratch{call: newCall()} }}

// refusal is the client's fault, answered with its status.
type refusal struct {
	status int
	detail string
}

func (r *refusal) Error() string { return r.detail }

var badInput = &refusal{fasthttp.StatusBadRequest, "The request is not of the documented form."}

func main() {
	limit, window := number("RATE_LIMIT_REQUESTS", 100), number("RATE_LIMIT_WINDOW", 3600)
	connection, err := redis.DialURL(os.Getenv("REDIS_URL"))
	if err != nil {
		log.Fatal(err)
	}
	s := &server{
		pipeline: startPipeline(connection),
		issuer:   newIssuer("http://localhost:"+os.Getenv("PORT"), os.Getenv("JWT_SECRET")),
		limit:    limit,
		window:   window,
	}
	web := &fasthttp.Server{Handler: s.handle, NoDefaultServerHeader: true}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	go func() {
		<-signals
		os.Exit(0)
	}()
	log.Fatal(web.ListenAndServe("127.0.0.1:" + os.Getenv("PORT")))
}

func number(name string, otherwise int64) int64 {
	value, err := strconv.ParseInt(os.Getenv(name), 10, 64)
	if err != nil {
		return otherwise
	}
	return value
}

func (s *server) handle(ctx *fasthttp.RequestCtx) {
	var operation func(*fasthttp.RequestCtx, *scratch, time.Time) error
	switch path := ctx.Path(); {
	case string(path) == "/api/v1/id" && ctx.IsGet():
		operation = s.id
	case string(path) == "/api/v1/identities" && ctx.IsPost():
		operation = s.identities
	case string(path) == "/api/v1/validate" && ctx.IsPost():
		operation = s.validate
	case string(path) == "/api/health/ready":
		ctx.SetContentType("application/json")
		ctx.SetBodyString(`{"status":"ready"}`)
		return
	default:
		ctx.SetStatusCode(fasthttp.StatusNotFound)
		return
	}
	space := scratches.Get().(*scratch)
	space.body = space.body[:0]
	header := &ctx.Response.Header
	header.SetContentType("application/json")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Access-Control-Allow-Origin", "*")
	switch err := operation(ctx, space, time.Now()).(type) {
	case nil:
		ctx.SetBody(space.body)
	case *refusal:
		ctx.SetStatusCode(err.status)
		ctx.SetBodyString(`{"status":` + strconv.Itoa(err.status) + `,"detail":"` + err.detail + `"}`)
	default:
		ctx.SetStatusCode(fasthttp.StatusInternalServerError)
	}
	scratches.Put(space)
}

// admit prepares the counting of the client, the first command of every call.
func (s *server) admit(ctx *fasthttp.RequestCtx, space *scratch, now time.Time) {
	seconds := now.Unix()
	space.reset = s.window - seconds%s.window
	space.cell = append(append(append(space.cell[:0], "rl:"...), client(ctx)...), ':')
	// Windows follow the clock, so that a lost EXPIRE can lock no client out.
	space.cell = strconv.AppendInt(space.cell, seconds/s.window, 10)
	space.call.reset()
	space.call.add("INCR", space.cell)
}

// allow reads the count and writes the headers; a *refusal when it is over the limit.
func (s *server) allow(ctx *fasthttp.RequestCtx, space *scratch) error {
	count, err := redis.Int64(space.call.reply(0))
	if err != nil {
		return err
	}
	remaining := s.limit - count
	if remaining < 0 {
		remaining = 0
	}
	header := &ctx.Response.Header
	var digits [20]byte
	header.SetBytesV("X-RateLimit-Limit", strconv.AppendInt(digits[:0], s.limit, 10))
	header.SetBytesV("X-RateLimit-Remaining", strconv.AppendInt(digits[:0], remaining, 10))
	header.SetBytesV("X-RateLimit-Reset", strconv.AppendInt(digits[:0], space.reset, 10))
	if count > s.limit {
		header.SetBytesV("Retry-After", strconv.AppendInt(digits[:0], space.reset, 10))
		return &refusal{fasthttp.StatusTooManyRequests, "Too many requests."}
	}
	return nil
}

// settle is the second call of a request, where one is needed: it lets a new counter expire and keeps new records for
// the identities whose reply was nil, unless another request was first. kept[i] is then what stands.
func (s *server) settle(space *scratch, kept [][]byte, now time.Time) error {
	first, err := redis.Int64(space.call.reply(0))
	if err != nil {
		return err
	}
	space.call.reset()
	if first == 1 {
		space.call.add("EXPIRE", space.cell, s.window)
	}
	offset := space.call.size()
	made := make([][]byte, 0, len(kept))
	for i, record := range kept {
		if record == nil {
			fresh := s.issuer.record(space.keys[i][len(keyPrefix):], now)
			made = append(made, fresh)
			space.call.add("SET", space.keys[i], fresh, "EX", int64(ttl), "NX", "GET")
		}
	}
	if space.call.size() == 0 {
		return nil
	}
	s.pipeline.do(space.call)
	for i := range kept {
		if kept[i] == nil {
			older, err := redis.Bytes(space.call.reply(offset))
			if err == redis.ErrNil {
				older, err = made[0], nil
			}
			if err != nil {
				return err
			}
			kept[i], made, offset = older, made[1:], offset+1
		}
	}
	return nil
}

func (s *server) id(ctx *fasthttp.RequestCtx, space *scratch, now time.Time) error {
	query := ctx.QueryArgs()
	prefix, run := query.Peek("prefix"), query.Peek("run")
	if !isPrefix(prefix) || !isRun(run) {
		return badInput
	}
	space.setKeys(1)
	space.keys[0] = appendKey(space.keys[0], prefix, run)
	s.admit(ctx, space, now)
	space.call.add("GET", space.keys[0])
	s.pipeline.do(space.call)
	if err := s.allow(ctx, space); err != nil {
		return err
	}
	found, err := redis.Bytes(space.call.reply(1))
	if err != nil && err != redis.ErrNil {
		return err
	}
	kept := [1][]byte{found}
	if err := s.settle(space, kept[:], now); err != nil {
		return err
	}
	space.body = appendIdentity(space.body, space.keys[0][len(keyPrefix):], prefix, run, kept[0])
	return nil
}

func (s *server) identities(ctx *fasthttp.RequestCtx, space *scratch, now time.Time) error {
	document, err := space.parser.ParseBytes(ctx.PostBody())
	if err != nil {
		return badInput
	}
	rows := document.GetArray("environments")
	if len(rows) < 1 || len(rows) > maxRows {
		return badInput
	}
	space.setKeys(len(rows))
	for i, row := range rows {
		prefix, run := row.GetStringBytes("prefix"), row.GetStringBytes("run")
		if !isPrefix(prefix) || !isRun(run) {
			return badInput
		}
		space.keys[i] = appendKey(space.keys[i], prefix, run)
	}
	s.admit(ctx, space, now)
	space.call.addAll("MGET", space.keys)
	s.pipeline.do(space.call)
	if err := s.allow(ctx, space); err != nil {
		return err
	}
	kept, err := redis.ByteSlices(space.call.reply(1))
	if err != nil {
		return err
	}
	if err := s.settle(space, kept, now); err != nil {
		return err
	}
	space.body = append(space.body, `{"identities":[`...)
	for i, row := range rows {
		space.body = appendRow(space.body, row.Get("name"), space.keys[i][len(keyPrefix):], kept[i])
		space.body = append(space.body, ',')
	}
	space.body = appendTotals(space.body[:len(space.body)-1], len(rows), now)
	return nil
}

func (s *server) validate(ctx *fasthttp.RequestCtx, space *scratch, now time.Time) error {
	document, err := space.parser.ParseBytes(ctx.PostBody())
	if err != nil || document.Get("identity") == nil {
		return badInput
	}
	identity := document.GetStringBytes("identity")
	parts, formed := split(identity)
	s.admit(ctx, space, now)
	if formed {
		space.setKeys(1)
		space.keys[0] = append(append(space.keys[0], keyPrefix...), identity...)
		space.call.add("GET", space.keys[0])
	}
	s.pipeline.do(space.call)
	if err := s.allow(ctx, space); err != nil {
		return err
	}
	var kept []byte
	if formed {
		kept, err = redis.Bytes(space.call.reply(1))
		if err != nil && err != redis.ErrNil {
			return err
		}
	}
	if err := s.settle(space, nil, now); err != nil {
		return err
	}
	space.body = appendVerdict(space.body, document.Get("identity"), parts, formed, kept, now)
	return nil
}

// setKeys makes room for count keys, each empty.
func (space *scratch) setKeys(count int) {
	for len(space.keys) < count {
		space.keys = append(space.keys, nil)
	}
	space.keys = space.keys[:count]
	for i := range space.keys {
		space.keys[i] = space.keys[i][:0]
	}
}
