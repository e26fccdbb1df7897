package esjwt_test

import (
	"crypto/elliptic"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

// TestAKMSThatHungSignsAgain without a restart, once it answers, though the calls that hung never
// return: after sixteen of them no session was opened again.
func TestAKMSThatHungSignsAgain(t *testing.T) {
	for _, hours := range []int{0, 1, 24} {
		t.Run(fmt.Sprint("after ", hours, " hours"), func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				kms := fakes.add(t, ecKey(t, elliptic.P256()))
				r := startReplica(t, kmsKeys(t, kms.uri(""), ``))
				kid, document := r.signs(), r.document()

				goOn := kms.stop()
				defer goOn()
				time.Sleep(time.Hour) // no token of before is left
				for range 40 {
					asked := time.Now()
					require.Equal(t, "503 no_key", r.refusal())
					require.LessOrEqual(t, time.Since(asked), 10*time.Second)
				}
				for range hours * 360 {
					_, err := r.authorization()
					require.Error(t, err)
					time.Sleep(10 * time.Second)
				}
				require.Equal(t, document, r.document(), "the public key stays")

				kms.forget()
				time.Sleep(5 * time.Minute)
				require.Equal(t, kid, r.signs(), "it is asked again, and in another session")
				for range 100 {
					time.Sleep(time.Hour)
					require.Equal(t, kid, r.signs(), "and nothing is left of the trouble")
				}
			})
		})
	}
}

// TestASessionThatHangsIsLeftBehind: the KMS answers in others, at once.
func TestASessionThatHangsIsLeftBehind(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		kms := fakes.add(t, ecKey(t, elliptic.P256()))
		r := startReplica(t, kmsKeys(t, kms.uri(""), ``))
		kid := r.signs()
		time.Sleep(time.Hour)
		goOn := kms.stop()
		require.Equal(t, "503 no_key", r.refusal())
		synctest.Wait()
		kms.forget()
		require.Equal(t, kid, r.signs())
		goOn()
		synctest.Wait()
		require.Equal(t, 1, kms.open(), "once it returns, it is closed")
	})
}

// TestAKMSThatHangsAtTheStartIsAskedAgain, also when what it was asked first never returns.
func TestAKMSThatHangsAtTheStartIsAskedAgain(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		kms := fakes.add(t, ecKey(t, elliptic.P256()))
		goOn := kms.stop()
		defer goOn()
		r := startReplica(t, kmsKeys(t, kms.uri(""), ``))
		time.Sleep(2 * time.Hour)
		r.noKeys(0)
		require.Contains(t, r.logs.String(), "opening the key in the KMS")
		require.NotZero(t, r.counted("no_answer"))
		kms.forget()
		time.Sleep(6 * time.Minute)
		require.NotEmpty(t, r.signs())
	})
}

// TestALoginThatHangsKeepsNobodyFromTheToken: other key sets log in.
func TestALoginThatHangsKeepsNobodyFromTheToken(t *testing.T) {
	file := writeFile(t, "pin", []byte(kmsPIN))
	bubble.Test(t, func(t *testing.T) {
		kms := fakes.add(t, ecKey(t, elliptic.P256()))
		kms.protect(kmsPIN)
		goOn := kms.stop()
		defer goOn()
		startReplica(t, kmsKeys(t, kms.uri("object=a;pin-source="+file), ``))
		time.Sleep(2 * time.Second)
		kms.forget()
		require.NotEmpty(t, startReplica(t, kmsKeys(t, kms.uri("object=b;pin-source="+file), ``)).signs())
	})
}

// TestALockedTokenIsUsedAgainOnceItIsUnlocked, which is with the same PIN as before, perhaps.
func TestALockedTokenIsUsedAgainOnceItIsUnlocked(t *testing.T) {
	file := writeFile(t, "pin", []byte(kmsPIN))
	bubble.Test(t, func(t *testing.T) {
		kms := fakes.add(t, ecKey(t, elliptic.P256()))
		kms.protect(kmsPIN)
		r := startReplica(t, kmsKeys(t, kms.uri("pin-source="+file), ``))
		kid := r.signs()
		kms.do(func() { kms.locked = true }) // by somebody else's wrong PINs
		kms.endSessions()
		time.Sleep(time.Hour)
		for range 600 {
			require.Equal(t, "503 no_key", r.refusal())
			time.Sleep(time.Second)
		}
		require.LessOrEqual(t, kms.tries, 11, "once a minute")
		require.Contains(t, r.logs.String(), "unlock it with the SO PIN")

		kms.do(func() { kms.locked = false })
		time.Sleep(time.Minute)
		require.Equal(t, kid, r.signs())
		require.Zero(t, kms.wrongPINs())
	})
}

// TestThePINOfAYubiKeyIsNotTriedToTheLast: it says how many tries are left, also of one.
func TestThePINOfAYubiKeyIsNotTriedToTheLast(t *testing.T) {
	for _, refusal := range []string{
		"verification failed (2 retries remaining)",
		"verification failed (1 retry remaining)",
	} {
		t.Run(refusal, func(t *testing.T) {
			file := writeFile(t, "pin", []byte("wrong"))
			bubble.Test(t, func(t *testing.T) {
				kms := fakes.add(t, ecKey(t, elliptic.P256()))
				kms.protect(kmsPIN)
				kms.do(func() { kms.refusal = refusal })
				r := startReplica(t, kmsKeys(t, kms.uri("pin-source="+file), ``))
				time.Sleep(time.Hour)
				require.Equal(t, "503 no_key", r.refusal())
				require.Equal(t, 1, kms.wrongPINs())
			})
		})
	}
}
