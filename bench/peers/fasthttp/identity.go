package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"strconv"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fastjson"
)

const (
	domain    = "sports.api.yourbook.com"
	version   = "v1"
	suffix    = "@" + domain + "/" + version + ":id"
	ttl       = 3600 // seconds
	keyPrefix = "id:"
	timeForm  = "2006-01-02T15:04:05.000Z"
	active    = "The identity was issued by this service and has not expired."
)

// issuer signs the tokens: HS256, made once for each identity.
type issuer struct {
	name   string
	header string
	macs   sync.Pool
}

func newIssuer(name, secret string) *issuer {
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "."
	return &issuer{name, header, sync.Pool{New: func() interface{} { return hmac.New(sha256.New, []byte(secret)) }}}
}

// record is what Redis keeps of an identity: generated, expires, token.
func (i *issuer) record(id []byte, now time.Time) []byte {
	// Every part is of a grammar without quotes and backslashes.
	claims := append(append(append(append(make([]byte, 0, 256), `{"iss":"`...), i.name...), `","sub":"`...), id...)
	claims = strconv.AppendInt(append(claims, `","iat":`...), now.Unix(), 10)
	claims = strconv.AppendInt(append(claims, `,"exp":`...), now.Unix()+ttl, 10)
	claims = append(strconv.AppendInt(append(claims, `,"jti":"`...), now.UnixMilli(), 10), `"}`...)

	kept := now.UTC().AppendFormat(make([]byte, 0, 512), timeForm)
	kept = now.UTC().Add(ttl*time.Second).AppendFormat(kept, timeForm)
	start := len(kept)
	kept = appendBase64(append(kept, i.header...), claims)

	mac := i.macs.Get().(hash.Hash)
	mac.Reset()
	mac.Write(kept[start:])
	kept = appendBase64(append(kept, '.'), mac.Sum(claims[:0]))
	i.macs.Put(mac)
	return kept
}

func appendBase64(target, source []byte) []byte {
	start, size := len(target), base64.RawURLEncoding.EncodedLen(len(source))
	target = append(target, make([]byte, size)...)
	base64.RawURLEncoding.Encode(target[start:], source)
	return target
}

// client is the right-most entry of X-Forwarded-For: the server listens on loopback alone, so its peer is the trusted
// proxy.
func client(ctx *fasthttp.RequestCtx) []byte {
	last := []byte("127.0.0.1")
	ctx.Request.Header.VisitAll(func(name, value []byte) {
		if string(name) == "X-Forwarded-For" {
			last = bytes.TrimSpace(value[bytes.LastIndexByte(value, ',')+1:])
		}
	})
	return last
}

func isPrefix(text []byte) bool { return consists(text, false) }
func isRun(text []byte) bool    { return consists(text, true) }

func consists(text []byte, hyphen bool) bool {
	for _, c := range text {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && !(c >= '0' && c <= '9') && c != '_' && c != '.' && !(hyphen && c == '-') {
			return false
		}
	}
	return len(text) > 0
}

func appendKey(target, prefix, run []byte) []byte {
	target = append(append(target, keyPrefix...), prefix...)
	return append(append(append(target, '-'), run...), suffix...)
}

type parts struct{ prefix, run, domain, version []byte }

// split takes an identity of this service apart; false when it has not the form of one.
func split(identity []byte) (parts, bool) {
	if !bytes.HasSuffix(identity, []byte(suffix)) {
		return parts{}, false
	}
	local := identity[:len(identity)-len(suffix)]
	hyphen := bytes.IndexByte(local, '-')
	if hyphen < 0 || !isPrefix(local[:hyphen]) || !isRun(local[hyphen+1:]) {
		return parts{}, false
	}
	return parts{local[:hyphen], local[hyphen+1:], []byte(domain), []byte(version)}, true
}

func appendMember(body []byte, name string, value []byte) []byte {
	body = append(append(append(body, '"'), name...), `":"`...)
	return append(append(body, value...), '"', ',')
}

// appendLife writes the members that the answers to an issue share.
func appendLife(body, id, record []byte) []byte {
	body = appendMember(body, "id", id)
	body = appendMember(body, "email", id[:bytes.LastIndexByte(id, '/')])
	body = append(strconv.AppendInt(append(body, `"ttl":`...), ttl, 10), ',')
	body = appendMember(body, "generated", record[:24])
	body = appendMember(body, "expires", record[24:48])
	return appendMember(body, "token", record[48:])
}

func appendMetadata(body []byte, p parts) []byte {
	body = appendMember(append(body, `"metadata":{`...), "prefix", p.prefix)
	body = appendMember(appendMember(body, "run", p.run), "domain", p.domain)
	return append(appendMember(body, "version", p.version), `"type":"disposable-identity",`...)
}

func appendIdentity(body, id, prefix, run, record []byte) []byte {
	body = appendLife(append(body, '{'), id, record)
	body = appendMetadata(body, parts{prefix, run, []byte(domain), []byte(version)})
	return append(body, `"compatible":["nexus","artifactory","jfrog"]}}`...)
}

func appendRow(body []byte, name *fastjson.Value, id, record []byte) []byte {
	body = appendJSON(append(body, `{"environment":`...), name)
	body = appendLife(append(body, ','), id, record)
	return append(body[:len(body)-1], '}')
}

func appendTotals(body []byte, total int, now time.Time) []byte {
	body = strconv.AppendInt(append(body, `],"total":`...), int64(total), 10)
	body = append(body, `,"domain":"`+domain+`","version":"`+version+`","ttl":`...)
	body = append(strconv.AppendInt(body, ttl, 10), `,"generated":"`...)
	return append(now.UTC().AppendFormat(body, timeForm), `"}`...)
}

// appendJSON writes a value that came from the client; null where there was none.
func appendJSON(body []byte, value *fastjson.Value) []byte {
	if value == nil {
		return append(body, "null"...)
	}
	return value.MarshalTo(body)
}

func appendVerdict(body []byte, identity *fastjson.Value, p parts, formed bool, record []byte, now time.Time) []byte {
	body = appendJSON(append(body, `{"identity":`...), identity)
	switch {
	case record != nil:
		body = append(body, `,"valid":true,"status":"active","reason":"`+active+`",`...)
	case formed:
		body = append(body, `,"valid":false,"status":"unknown","reason":"It was never issued by this service.",`...)
	default:
		body = append(body, `,"valid":false,"status":"malformed","reason":"It has not the form of an identity.",`...)
	}
	if formed {
		body = append(body, `"well_formed":true,"rfc5322_compliant":true,`...)
		body = append(appendMetadata(body, p), `"format":"rfc5322-compliant"},`...)
	} else {
		body = append(body, `"well_formed":false,"rfc5322_compliant":false,"metadata":null,`...)
	}
	if record != nil {
		body = appendMember(append(body, `"cached":true,`...), "generated", record[:24])
		body = appendMember(body, "expires", record[24:48])
	} else {
		body = append(body, `"cached":false,"generated":null,"expires":null,`...)
	}
	return append(now.UTC().AppendFormat(append(body, `"validated":"`...), timeForm), `"}`...)
}
