package esjwt_test

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.step.sm/crypto/kms/apiv1"
	"go.step.sm/crypto/kms/uri"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
	keykms "github.com/edgejwt/caddy-elasticsearch-jwt/keys/kms"
)

// kmsKeys is a replica whose default set is a key in a KMS.
func kmsKeys(t testing.TB, uri, settings string) replicaConfig {
	t.Helper()
	return replicaConfig{
		storage: newMemory().view(t).config(),
		keys:    map[string]string{"default": fmt.Sprintf(`{"source":"kms","uri":%q%s}`, uri, settings)},
	}
}

// TestAKeyInAKMSSigns with softkms, the one KMS that every build has: a file.
func TestAKeyInAKMSSigns(t *testing.T) {
	ec, ec521 := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P521())
	for name, c := range map[string]struct {
		key       crypto.Signer
		settings  string
		algorithm string
	}{
		"an RSA key":                         {rsaKey(), ``, "RS256"},
		"an RSA key with salted signatures":  {rsaKey(), `,"algorithm":"PS512"`, "PS512"},
		"an ECDSA key":                       {ec, ``, "ES256"},
		"an ECDSA key of a stated algorithm": {ec, `,"algorithm":"ES256"`, "ES256"},
		"a key on another curve":             {ec521, ``, "ES512"},
	} {
		t.Run(name, func(t *testing.T) {
			r := startReplica(t, kmsKeys(t, "softkms:path="+keyFile(t, c.key), c.settings))
			require.Equal(t, thumbprint(t, c.key), r.algorithmAndKid(c.algorithm))
			require.Equal(t, []string{c.algorithm + " " + thumbprint(t, c.key)}, r.kidsAndAlgorithms())
		})
	}
}

// algorithmAndKid checks that alice's token is of an algorithm and verifies, and returns its kid.
func (r *replica) algorithmAndKid(algorithm string) string {
	r.t.Helper()
	token, err := r.authorization()
	require.NoError(r.t, err)
	header := headerOf(r.t, token)
	require.Contains(r.t, header, `"alg":"`+algorithm+`"`)
	set := r.published()
	require.Len(r.t, set.Keys, 1)
	require.Contains(r.t, header, `"kid":"`+set.Keys[0].KeyID+`"`)
	return set.Keys[0].KeyID
}

func TestAKMSIsNotAskedWhenValidating(t *testing.T) {
	dial := fakes.add(t, ecKey(t, elliptic.P256()))
	newReplica(t, kmsKeys(t, dial.uri("")+";pin-source=/no/such/file", ``))
	newReplica(t, kmsKeys(t, "{env.ESJWT_NO_SUCH_URI}", ``))
	require.Zero(t, dial.opened())
}

func TestAMisconfiguredKMSIsFoundWhenValidating(t *testing.T) {
	for name, c := range map[string]struct{ uri, settings, complaint string }{
		"no URI":            {``, ``, "the key's URI is missing"},
		"no scheme":         {`token=es;object=jwt`, ``, "it names no known kind of KMS"},
		"an unknown scheme": {`hunter2:token=es`, ``, "it names no known kind of KMS"},
		"a kind that is not built in": {
			`pkcs11:token=es;object=jwt`, ``,
			"built without pkcs11: build it with `xcaddy build … --with go.step.sm/crypto/kms/pkcs11@v",
		},
		"an algorithm of secrets": {`softkms:path=key.pem`, `,"algorithm":"HS256"`, "use one of RS256"},
		"a PIN in the clear":      {`fakekms:token=es?pin-value=hunter2`, ``, "uri: a secret in the configuration"},
		"half a PIN in the clear": {`fakekms:token=es?pin-value={env.PIN}hunter2`, ``, "uri: a secret in the configuration"},
		"a PIN of the request": {
			`fakekms:token=es?pin-value={http.request.header.X}`, ``, "uri: a secret in the configuration",
		},
		"a management key":        {`fakekms:management-key=hunter2;slot-id=9c`, ``, "uri: a secret in the configuration"},
		"an application's secret": {`fakekms:client-secret=hunter2`, ``, "uri: a secret in the configuration"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tryReplica(t, kmsKeys(t, c.uri, c.settings))
			require.ErrorContains(t, err, c.complaint)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
	t.Run("in a Caddyfile", func(t *testing.T) {
		_, err := tryAdapt("{\nelasticsearch_jwt {\nkeys default kms {\nuri \"pkcs11:token=es?pin-value=hunter2\"\n}\n}\n}\n")
		require.ErrorContains(t, err, "uri: a secret in the configuration")
		require.ErrorContains(t, err, "Caddyfile:4")
		require.NotContains(t, err.Error(), "hunter2")
	})
}

// TestAKeyOfTheWrongTypeIsNotSignedWith: the log says which keys are taken.
func TestAKeyOfTheWrongTypeIsNotSignedWith(t *testing.T) {
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		key       crypto.Signer
		settings  string
		complaint string
	}{
		"an Edwards curve":               {edwards, ``, "no EdDSA"},
		"a curve that JWS does not name": {ecKey(t, elliptic.P224()), ``, "use P-256, P-384 or P-521"},
		"an RSA key for ES256":           {rsaKey(), `,"algorithm":"ES256"`, "an RSA key cannot sign with ES256"},
		"an ECDSA key for RS256": {
			ecKey(t, elliptic.P256()), `,"algorithm":"RS256"`, "curve P-256 signs with ES256, not with RS256",
		},
		"another curve than the algorithm's": {
			ecKey(t, elliptic.P384()), `,"algorithm":"ES256"`, "curve P-384 signs with ES384, not with ES256",
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				kms := fakes.add(t, c.key)
				r := startReplica(t, kmsKeys(t, kms.uri(""), c.settings))
				synctest.Wait()
				require.Equal(t, "503 no_key", r.refusal())
				r.unavailable()
				require.Contains(t, r.logs.String(), c.complaint)
				require.Zero(t, kms.open(), "and nothing is left open")
			})
		})
	}
}

// TestAKMSThatFailsRecoversByItself: a token that is unplugged ends its sessions; clients that
// have a token go on, others are refused until it is back.
func TestAKMSThatFailsRecoversByItself(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		kms := fakes.add(t, ecKey(t, elliptic.P256()))
		r := startReplica(t, kmsKeys(t, kms.uri(""), ``))
		r.signs()
		document := r.document()

		kms.set(errors.New("the token is gone"))
		r.signs() // who has a token goes on
		time.Sleep(time.Hour)
		require.Equal(t, "503 no_key", r.refusal())
		require.Contains(t, r.logs.String(), "the token is gone")
		require.Equal(t, document, r.document(), "the public key stays")
		require.Zero(t, kms.open())

		kms.set(nil)
		r.signs()
		require.Equal(t, document, r.document())
		require.Equal(t, 1, kms.open())
	})
}

// TestASessionThatEndsIsOpenedAgain without anybody noticing.
func TestASessionThatEndsIsOpenedAgain(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		kms := fakes.add(t, ecKey(t, elliptic.P256()))
		r := startReplica(t, kmsKeys(t, kms.uri(""), ``))
		kid := r.signs()
		opened := kms.opened()
		for range 10 {
			kms.endSessions()
			time.Sleep(time.Hour)
			require.Equal(t, kid, r.signs())
		}
		require.Equal(t, opened+10, kms.opened())
		require.Equal(t, 1, kms.open())
	})
}

// TestAKMSThatIsOutOfReachAtTheStartIsWaitedFor: Caddy serves its other sites meanwhile.
func TestAKMSThatIsOutOfReachAtTheStartIsWaitedFor(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		kms := fakes.add(t, ecKey(t, elliptic.P256()))
		kms.set(errors.New("connection refused"))
		r := startReplica(t, kmsKeys(t, kms.uri(""), ``))
		synctest.Wait()
		require.Equal(t, "503 no_key", r.refusal())
		r.unavailable()

		kms.set(nil)
		time.Sleep(time.Minute)
		r.signs()
	})
}

// TestAnotherKeyUnderTheSameURIIsNotSignedWith: its public half is not in the JWKS.
func TestAnotherKeyUnderTheSameURIIsNotSignedWith(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		one, two := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256())
		kms := fakes.add(t, one)
		r := startReplica(t, kmsKeys(t, kms.uri(""), ``))
		r.signs()
		kms.put(two)
		kms.endSessions()
		time.Sleep(time.Hour)
		require.Equal(t, "503 no_key", r.refusal())
		require.Contains(t, r.logs.String(), "another key under the URI than before: reload the configuration")
		require.Equal(t, []string{thumbprint(t, one)}, r.kids())

		kms.put(one)
		require.Equal(t, thumbprint(t, one), r.signs())
	})
}

const kmsPIN = "hunter2;/? &ü" // what a URI cannot hold as it stands

// TestARefusedPINIsNotTriedAgain: most tokens lock themselves after a few wrong ones.
func TestARefusedPINIsNotTriedAgain(t *testing.T) {
	for name, attribute := range map[string]string{
		"in a file that the KMS reads":   "pin-source=%s",
		"in a file that Caddy reads":     "pin-value={file.%s}",
		"in a file, beside other things": "pin-value={file.%s};object=x",
	} {
		t.Run(name, func(t *testing.T) {
			file := writeFile(t, "pin", []byte(kmsPIN+" wrong\n"))
			bubble.Test(t, func(t *testing.T) {
				kms := fakes.add(t, ecKey(t, elliptic.P256()))
				kms.protect(kmsPIN)
				r := startReplica(t, kmsKeys(t, kms.uri(fmt.Sprintf(attribute, file)), ``))
				time.Sleep(10 * time.Minute)
				require.Equal(t, "503 no_key", r.refusal())
				require.Equal(t, 1, kms.wrongPINs())
				require.Contains(t, r.logs.String(), "is not asked again until there is another")
				require.NotContains(t, r.logs.String(), "hunter2")

				require.NoError(t, os.WriteFile(file, []byte(kmsPIN+"\n"), 0o600))
				time.Sleep(time.Minute)
				r.signs()
				require.Equal(t, 1, kms.wrongPINs())

				// The token's PIN is changed, and then the file.
				kms.protect("new " + kmsPIN)
				kms.endSessions()
				time.Sleep(time.Hour)
				for range 10 {
					require.Equal(t, "503 no_key", r.refusal())
				}
				require.Equal(t, 2, kms.wrongPINs())
				require.NoError(t, os.WriteFile(file, []byte("new "+kmsPIN), 0o600))
				r.signs()
				require.Equal(t, 2, kms.wrongPINs())
				require.NotContains(t, r.logs.String(), "hunter2")
			})
		})
	}
}

// TestOneTokenIsAskedOnceForAWrongPIN, however many sets and configurations have it.
func TestOneTokenIsAskedOnceForAWrongPIN(t *testing.T) {
	file := writeFile(t, "pin", []byte(kmsPIN+" wrong\n"))
	bubble.Test(t, func(t *testing.T) {
		kms := fakes.add(t, ecKey(t, elliptic.P256()))
		kms.protect(kmsPIN)
		for _, object := range []string{"a", "b", "c"} {
			r := startReplica(t, kmsKeys(t, kms.uri("object="+object+";pin-source="+file), ``))
			time.Sleep(time.Minute)
			require.Equal(t, "503 no_key", r.refusal())
		}
		require.Equal(t, 1, kms.wrongPINs())
		require.NoError(t, os.WriteFile(file, []byte(kmsPIN), 0o600))
		startReplica(t, kmsKeys(t, kms.uri("object=a;pin-source="+file), ``)).signs()
	})
}

// TestAPINIsInNoErrorOfAKMS, whatever the KMS says.
func TestAPINIsInNoErrorOfAKMS(t *testing.T) {
	for name, pin := range map[string]string{
		"digits":                     "hunter2",
		"what must be encoded":       kmsPIN,
		"several lines":              "hunter2\nhunter2\n\n",
		"what is quoted in an error": `hunter2"\`,
	} {
		t.Run(name, func(t *testing.T) {
			file := writeFile(t, "pin", []byte(pin))
			bubble.Test(t, func(t *testing.T) {
				kms := fakes.add(t, ecKey(t, elliptic.P256()))
				kms.set(errIndiscreet)
				r := startReplica(t, kmsKeys(t, kms.uri("pin-value={file."+file+"}"), ``))
				synctest.Wait()
				require.Equal(t, "503 no_key", r.refusal())
				require.Contains(t, r.logs.String(), "the PIN is ")
				require.NotContains(t, r.logs.String(), "hunter2")
			})
		})
	}
	for name, uri := range map[string]string{
		"no kind once it is read": "hunter2:x",
		"no URI once it is read":  "hunter2\x7f",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("ESJWT_KMS_URI", uri)
			bubble.Test(t, func(t *testing.T) {
				r := startReplica(t, kmsKeys(t, "{env.ESJWT_KMS_URI}", ``))
				synctest.Wait()
				require.Equal(t, "503 no_key", r.refusal())
				require.NotContains(t, r.logs.String(), "hunter2")
			})
		})
	}
}

// TestAPINThatCannotBeReadIsNotTried: the KMS would take it for a wrong one.
func TestAPINThatCannotBeReadIsNotTried(t *testing.T) {
	file := writeFile(t, "pin", nil)
	bubble.Test(t, func(t *testing.T) {
		kms := fakes.add(t, ecKey(t, elliptic.P256()))
		kms.protect(kmsPIN)
		r := startReplica(t, kmsKeys(t, kms.uri("pin-source="+file), ``))
		time.Sleep(10 * time.Minute)
		require.Equal(t, "503 no_key", r.refusal())
		require.Zero(t, kms.wrongPINs())
		require.Contains(t, r.logs.String(), "make it readable for Caddy")

		require.NoError(t, os.WriteFile(file, []byte(kmsPIN), 0o600))
		time.Sleep(time.Minute)
		r.signs()
	})
}

// TestAConfigurationThatEndsClosesTheKMS, and what is on its way then leaves nothing open.
func TestAConfigurationThatEndsClosesTheKMS(t *testing.T) {
	kms := fakes.add(t, ecKey(t, elliptic.P256()))
	source := &keykms.Source{URI: kms.uri("")}
	answer, err := source.Keys(t.Context(), keys.Needs{})
	require.NoError(t, err)
	require.Equal(t, 1, kms.open())
	require.NoError(t, source.Cleanup())
	require.Zero(t, kms.open())

	_, err = answer.Fixed[0].Sign([]byte("{}"))
	require.NoError(t, err, "a request that began before")
	require.Zero(t, kms.open())
	require.NoError(t, source.Cleanup(), "twice does no harm")
	require.NoError(t, new(keykms.Source).Cleanup(), "nor before it is opened")
}

// TestAKMSThatHangsIsLeftBehind when its configuration ends, whatever it was asked for; and what
// it answers afterwards leaves nothing open.
func TestAKMSThatHangsIsLeftBehind(t *testing.T) {
	for name, c := range map[string]struct {
		isOpen bool
		ask    func(*keykms.Source, keys.Answer)
	}{
		"it was asked for the key": {false, func(source *keykms.Source, _ keys.Answer) {
			_, _ = source.Keys(context.Background(), keys.Needs{})
		}},
		"it was asked for a signature": {
			true, func(_ *keykms.Source, answer keys.Answer) { _, _ = answer.Fixed[0].Sign([]byte("{}")) },
		},
		"it is only asked to end": {true, func(*keykms.Source, keys.Answer) {}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				kms := fakes.add(t, ecKey(t, elliptic.P256()))
				source := &keykms.Source{URI: kms.uri("")}
				var answer keys.Answer
				if c.isOpen {
					var err error
					answer, err = source.Keys(t.Context(), keys.Needs{})
					require.NoError(t, err)
				}
				goOn := kms.stop()
				go c.ask(source, answer)
				synctest.Wait()

				ended := time.Now()
				err := source.Cleanup()
				require.LessOrEqual(t, time.Since(ended), 10*time.Second)
				if c.isOpen {
					require.ErrorContains(t, err, "is left behind")
				}
				goOn()
				synctest.Wait()
				require.Zero(t, kms.open())
			})
		})
	}
}

// TestCaddyReloadsWhileAKMSHangs, and serves with other keys.
func TestCaddyReloadsWhileAKMSHangs(t *testing.T) {
	kms := fakes.add(t, ecKey(t, elliptic.P256()))
	defer kms.stop()()
	hanging := strings.Replace(ecSite, "storage {\n\t\t\talgorithm ES256\n", "kms {\n\t\t\turi "+kms.uri("")+"\n", 1)
	require.NotEqual(t, ecSite, hanging)
	s := newSceneOf(t, hanging)
	s.load(ecSite, s.replacements()...)
	require.Equal(t, http.StatusOK, s.get(s.httpClient(s.clients.client("alice")), "/").StatusCode)
}

func TestSessionsEndWhileOthersSign(t *testing.T) {
	kms := fakes.add(t, ecKey(t, elliptic.P256()))
	source := &keykms.Source{URI: kms.uri("")}
	answer, err := source.Keys(t.Context(), keys.Needs{})
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				_, _ = answer.Fixed[0].Sign([]byte("{}")) // which may fail twice in a row
			}
		})
	}
	for range 100 {
		kms.endSessions()
		time.Sleep(100 * time.Microsecond)
	}
	wg.Wait()
	_, err = answer.Fixed[0].Sign([]byte("{}"))
	require.NoError(t, err)
	require.Equal(t, 1, kms.open())
	require.NoError(t, source.Cleanup())
	require.Zero(t, kms.open())
}

// fakeKMS is a KMS that can be told to fail. Its URIs are fakekms:name=….
type fakeKMS struct {
	name string

	mu       sync.Mutex
	key      crypto.Signer
	pin      string
	failure  error
	hang     chan struct{} // what is asked of it waits for this
	sessions map[*fakeSession]bool
	total    int    // sessions that were opened
	wrong    int    // PINs
	refusal  string // of a wrong PIN
	locked   bool
	tries    int // while it was locked
}

// fakeKMSs are the KMSs by name.
type fakeKMSs struct{ sync.Map }

var fakes = &fakeKMSs{}

func init() {
	apiv1.Register("fakekms",
		func(_ context.Context, opts apiv1.Options) (apiv1.KeyManager, error) { return fakes.open(opts.URI) })
}

func (f *fakeKMSs) add(t testing.TB, key crypto.Signer) *fakeKMS {
	kms := &fakeKMS{name: fmt.Sprintf("%d", replicas.Add(1)), key: key, sessions: make(map[*fakeSession]bool)}
	f.Store(kms.name, kms)
	t.Cleanup(func() { f.Delete(kms.name) })
	return kms
}

func (f *fakeKMSs) open(text string) (apiv1.KeyManager, error) {
	u, err := uri.ParseWithScheme("fakekms", text)
	if err != nil {
		return nil, err
	}
	kms, ok := f.Load(u.Get("name"))
	if !ok {
		return nil, errors.New("no such KMS: " + text)
	}
	return kms.(*fakeKMS).login(u)
}

// errIndiscreet makes a fakeKMS show the PIN in every way.
var errIndiscreet = errors.New("indiscreet")

func (k *fakeKMS) login(u *uri.URI) (apiv1.KeyManager, error) {
	k.wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case errors.Is(k.failure, errIndiscreet):
		return nil, fmt.Errorf("the PIN is %s, %q, of %s, %q", u.Pin(), u.Pin(), u, u)
	case k.failure != nil:
		return nil, k.failure
	case k.locked:
		k.tries++
		return nil, errors.New("pkcs11: 0xA4: CKR_PIN_LOCKED")
	case u.Pin() != k.pin:
		k.wrong++
		return nil, errors.New(cmp.Or(k.refusal, "pkcs11: 0xA0: CKR_PIN_INCORRECT"))
	}
	session := &fakeSession{kms: k}
	k.sessions[session] = true
	k.total++
	return session, nil
}

func (k *fakeKMS) uri(more string) string {
	return strings.TrimSuffix("fakekms:name="+k.name+";"+more, ";")
}

func (k *fakeKMS) set(failure error)     { k.do(func() { k.failure = failure }) }
func (k *fakeKMS) protect(pin string)    { k.do(func() { k.pin = pin }) }
func (k *fakeKMS) put(key crypto.Signer) { k.do(func() { k.key = key }) }
func (k *fakeKMS) endSessions() {
	k.do(func() {
		for s := range k.sessions {
			k.sessions[s] = false
		}
	})
}
func (k *fakeKMS) open() (n int)      { k.do(func() { n = len(k.sessions) }); return n }
func (k *fakeKMS) opened() (n int)    { k.do(func() { n = k.total }); return n }
func (k *fakeKMS) wrongPINs() (n int) { k.do(func() { n = k.wrong }); return n }

// stop makes the KMS hang until the function that it returns is called.
func (k *fakeKMS) stop() (goOn func()) {
	hang := make(chan struct{})
	k.do(func() { k.hang = hang })
	return func() {
		k.do(func() { k.hang = nil })
		close(hang)
	}
}

// forget makes the KMS answer again, but for the calls that hang already: those never return.
func (k *fakeKMS) forget() { k.do(func() { k.hang = nil }) }

func (k *fakeKMS) wait() {
	var hang chan struct{}
	k.do(func() { hang = k.hang })
	if hang != nil {
		<-hang
	}
}

func (k *fakeKMS) do(change func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change()
}

// fakeSession is a session of a fakeKMS: a key manager and its one signer.
type fakeSession struct {
	apiv1.KeyManager
	kms  *fakeKMS
	hang chan struct{} // as of when it hung, whatever other sessions do
}

func (s *fakeSession) wait() {
	var hang chan struct{}
	s.kms.do(func() {
		s.hang = cmp.Or(s.hang, s.kms.hang)
		hang = s.hang
	})
	if hang != nil {
		<-hang
	}
}

func (s *fakeSession) CreateSigner(*apiv1.CreateSignerRequest) (crypto.Signer, error) {
	s.kms.mu.Lock()
	defer s.kms.mu.Unlock()
	return &fakeSigner{s, s.kms.key}, nil
}

func (s *fakeSession) Close() error {
	s.kms.wait()
	s.kms.do(func() { delete(s.kms.sessions, s) })
	return nil
}

type fakeSigner struct {
	session *fakeSession
	key     crypto.Signer
}

func (s *fakeSigner) Public() crypto.PublicKey { return s.key.Public() }

func (s *fakeSigner) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	kms := s.session.kms
	s.session.wait()
	kms.mu.Lock()
	defer kms.mu.Unlock()
	if kms.failure != nil {
		return nil, kms.failure
	}
	if !kms.sessions[s.session] {
		return nil, errors.New("the session has ended")
	}
	return s.key.Sign(random, digest, opts)
}
