package crl_test

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/crl"
)

// pkitsTest is a test of NIST's Public Key Interoperability Test Suite, version 1.0.1, with the
// certificates on the way to the client's, the lists besides that of the trust anchor, and the outcome.
type pkitsTest struct {
	number      string
	valid       bool // what NIST expects
	client      string
	authorities string
	lists       string
	want        string
}

// The outcomes besides those of Check. With noChain, the client is refused. With noList, Caddy does not
// start.
const (
	noChain = "no chain"
	noList  = "no such list: "
)

var pkitsTests = []pkitsTest{
	{"4.4.1", false, "InvalidMissingCRLTest1EE", "NoCRLCACert", "", "good"},
	{"4.4.2", false, "InvalidRevokedCATest2EE", "GoodCACert RevokedsubCACert", "GoodCACRL RevokedsubCACRL", "revoked"},
	{"4.4.3", false, "InvalidRevokedEETest3EE", "GoodCACert", "GoodCACRL", "revoked"},
	{"4.4.4", false, "InvalidBadCRLSignatureTest4EE", "BadCRLSignatureCACert", "BadCRLSignatureCACRL", "bad signature"},
	{"4.4.5", false, "InvalidBadCRLIssuerNameTest5EE", "BadCRLIssuerNameCACert", "BadCRLIssuerNameCACRL", "good"},
	{"4.4.6", false, "InvalidWrongCRLTest6EE", "WrongCRLCACert", "", "good"},
	{"4.4.7", true, "ValidTwoCRLsTest7EE", "TwoCRLsCACert", "TwoCRLsCABadCRL TwoCRLsCAGoodCRL", "good"},
	{
		"4.4.8", false, "InvalidUnknownCRLEntryExtensionTest8EE", "UnknownCRLEntryExtensionCACert",
		"UnknownCRLEntryExtensionCACRL", noList + "it has the critical extension 2.16.840.1.101.2.1.12.2",
	},
	{
		"4.4.9", false, "InvalidUnknownCRLExtensionTest9EE", "UnknownCRLExtensionCACert", "UnknownCRLExtensionCACRL", noList +
			"it has the critical extension 2.16.840.1.101.2.1.12.2",
	},
	{
		"4.4.10", false, "InvalidUnknownCRLExtensionTest10EE", "UnknownCRLExtensionCACert", "UnknownCRLExtensionCACRL",
		noList + "it has the critical extension 2.16.840.1.101.2.1.12.2",
	},
	{"4.4.11", false, "InvalidOldCRLnextUpdateTest11EE", "OldCRLnextUpdateCACert", "OldCRLnextUpdateCACRL", "stale"},
	{
		"4.4.12", false, "Invalidpre2000CRLnextUpdateTest12EE", "pre2000CRLnextUpdateCACert", "pre2000CRLnextUpdateCACRL",
		"stale",
	},
	{
		"4.4.13", true, "ValidGeneralizedTimeCRLnextUpdateTest13EE", "GeneralizedTimeCRLnextUpdateCACert",
		"GeneralizedTimeCRLnextUpdateCACRL", "good",
	},
	{
		"4.4.14", true, "ValidNegativeSerialNumberTest14EE", "NegativeSerialNumberCACert", "NegativeSerialNumberCACRL",
		"good",
	},
	{
		"4.4.15", false, "InvalidNegativeSerialNumberTest15EE", "NegativeSerialNumberCACert", "NegativeSerialNumberCACRL",
		"x509: negative serial number",
	},
	{"4.4.16", true, "ValidLongSerialNumberTest16EE", "LongSerialNumberCACert", "LongSerialNumberCACRL", "good"},
	{"4.4.17", true, "ValidLongSerialNumberTest17EE", "LongSerialNumberCACert", "LongSerialNumberCACRL", "good"},
	{"4.4.18", false, "InvalidLongSerialNumberTest18EE", "LongSerialNumberCACert", "LongSerialNumberCACRL", "revoked"},
	{
		"4.4.19", true, "ValidSeparateCertificateandCRLKeysTest19EE",
		"SeparateCertificateandCRLKeysCertificateSigningCACert SeparateCertificateandCRLKeysCRLSigningCert",
		"SeparateCertificateandCRLKeysCRL", "bad signature",
	},
	{
		"4.4.20", false, "InvalidSeparateCertificateandCRLKeysTest20EE",
		"SeparateCertificateandCRLKeysCertificateSigningCACert SeparateCertificateandCRLKeysCRLSigningCert",
		"SeparateCertificateandCRLKeysCRL", "revoked",
	},
	{
		"4.4.21", false, "InvalidSeparateCertificateandCRLKeysTest21EE",
		"SeparateCertificateandCRLKeysCA2CertificateSigningCACert SeparateCertificateandCRLKeysCA2CRLSigningCert",
		"SeparateCertificateandCRLKeysCA2CRL", "bad signature",
	},
	{
		"4.5.1", true, "ValidBasicSelfIssuedOldWithNewTest1EE",
		"BasicSelfIssuedNewKeyCACert BasicSelfIssuedNewKeyOldWithNewCACert", "BasicSelfIssuedNewKeyCACRL", "good",
	},
	{
		"4.5.2", false, "InvalidBasicSelfIssuedOldWithNewTest2EE",
		"BasicSelfIssuedNewKeyCACert BasicSelfIssuedNewKeyOldWithNewCACert", "BasicSelfIssuedNewKeyCACRL", "revoked",
	},
	{
		"4.5.3", true, "ValidBasicSelfIssuedNewWithOldTest3EE",
		"BasicSelfIssuedOldKeyCACert BasicSelfIssuedOldKeyNewWithOldCACert",
		"BasicSelfIssuedOldKeyCACRL BasicSelfIssuedOldKeySelfIssuedCertCRL", "good",
	},
	{
		"4.5.4", true, "ValidBasicSelfIssuedNewWithOldTest4EE",
		"BasicSelfIssuedOldKeyCACert BasicSelfIssuedOldKeyNewWithOldCACert",
		"BasicSelfIssuedOldKeyCACRL BasicSelfIssuedOldKeySelfIssuedCertCRL", "uncovered",
	},
	{
		"4.5.5", false, "InvalidBasicSelfIssuedNewWithOldTest5EE",
		"BasicSelfIssuedOldKeyCACert BasicSelfIssuedOldKeyNewWithOldCACert",
		"BasicSelfIssuedOldKeyCACRL BasicSelfIssuedOldKeySelfIssuedCertCRL", "revoked",
	},
	{
		"4.5.6", true, "ValidBasicSelfIssuedCRLSigningKeyTest6EE",
		"BasicSelfIssuedCRLSigningKeyCACert BasicSelfIssuedCRLSigningKeyCRLCert",
		"BasicSelfIssuedCRLSigningKeyCACRL BasicSelfIssuedCRLSigningKeyCRLCertCRL", "uncovered",
	},
	{
		"4.5.7", false, "InvalidBasicSelfIssuedCRLSigningKeyTest7EE",
		"BasicSelfIssuedCRLSigningKeyCACert BasicSelfIssuedCRLSigningKeyCRLCert",
		"BasicSelfIssuedCRLSigningKeyCACRL BasicSelfIssuedCRLSigningKeyCRLCertCRL", "revoked",
	},
	{
		"4.5.8", false, "InvalidBasicSelfIssuedCRLSigningKeyTest8EE",
		"BasicSelfIssuedCRLSigningKeyCACert BasicSelfIssuedCRLSigningKeyCRLCert",
		"BasicSelfIssuedCRLSigningKeyCACRL BasicSelfIssuedCRLSigningKeyCRLCertCRL", noChain,
	},
	{"4.14.1", true, "ValiddistributionPointTest1EE", "distributionPoint1CACert", "distributionPoint1CACRL", "good"},
	{"4.14.2", false, "InvaliddistributionPointTest2EE", "distributionPoint1CACert", "distributionPoint1CACRL", "revoked"},
	{
		"4.14.3", false, "InvaliddistributionPointTest3EE", "distributionPoint1CACert", "distributionPoint1CACRL",
		"uncovered",
	},
	{
		"4.14.4", true, "ValiddistributionPointTest4EE", "distributionPoint1CACert", "distributionPoint1CACRL",
		"x509: invalid CRL distribution point",
	},
	{
		"4.14.5", true, "ValiddistributionPointTest5EE", "distributionPoint2CACert", "distributionPoint2CACRL",
		"x509: invalid CRL distribution point",
	},
	{
		"4.14.6", false, "InvaliddistributionPointTest6EE", "distributionPoint2CACert", "distributionPoint2CACRL",
		"x509: invalid CRL distribution point",
	},
	{"4.14.7", true, "ValiddistributionPointTest7EE", "distributionPoint2CACert", "distributionPoint2CACRL", "good"},
	{
		"4.14.8", false, "InvaliddistributionPointTest8EE", "distributionPoint2CACert", "distributionPoint2CACRL",
		"uncovered",
	},
	{
		"4.14.9", false, "InvaliddistributionPointTest9EE", "distributionPoint2CACert", "distributionPoint2CACRL",
		"uncovered",
	},
	{
		"4.14.10", true, "ValidNoissuingDistributionPointTest10EE", "NoissuingDistributionPointCACert",
		"NoissuingDistributionPointCACRL", "good",
	},
	{
		"4.14.11", false, "InvalidonlyContainsUserCertsTest11EE", "onlyContainsUserCertsCACert", "onlyContainsUserCertsCACRL",
		"uncovered",
	},
	{
		"4.14.12", false, "InvalidonlyContainsCACertsTest12EE", "onlyContainsCACertsCACert", "onlyContainsCACertsCACRL",
		"uncovered",
	},
	{"4.14.13", true, "ValidonlyContainsCACertsTest13EE", "onlyContainsCACertsCACert", "onlyContainsCACertsCACRL", "good"},
	{
		"4.14.14", false, "InvalidonlyContainsAttributeCertsTest14EE", "onlyContainsAttributeCertsCACert",
		"onlyContainsAttributeCertsCACRL", noList + "it is for attribute certificates",
	},
	{
		"4.14.15", false, "InvalidonlySomeReasonsTest15EE", "onlySomeReasonsCA1Cert",
		"onlySomeReasonsCA1compromiseCRL onlySomeReasonsCA1otherreasonsCRL", "revoked",
	},
	{
		"4.14.16", false, "InvalidonlySomeReasonsTest16EE", "onlySomeReasonsCA1Cert",
		"onlySomeReasonsCA1compromiseCRL onlySomeReasonsCA1otherreasonsCRL", "revoked",
	},
	{
		"4.14.17", false, "InvalidonlySomeReasonsTest17EE", "onlySomeReasonsCA2Cert",
		"onlySomeReasonsCA2CRL1 onlySomeReasonsCA2CRL2", "uncovered",
	},
	{
		"4.14.18", true, "ValidonlySomeReasonsTest18EE", "onlySomeReasonsCA3Cert",
		"onlySomeReasonsCA3compromiseCRL onlySomeReasonsCA3otherreasonsCRL", "good",
	},
	{
		"4.14.19", true, "ValidonlySomeReasonsTest19EE", "onlySomeReasonsCA4Cert",
		"onlySomeReasonsCA4compromiseCRL onlySomeReasonsCA4otherreasonsCRL", "good",
	},
	{
		"4.14.20", false, "InvalidonlySomeReasonsTest20EE", "onlySomeReasonsCA4Cert",
		"onlySomeReasonsCA4compromiseCRL onlySomeReasonsCA4otherreasonsCRL", "revoked",
	},
	{
		"4.14.21", false, "InvalidonlySomeReasonsTest21EE", "onlySomeReasonsCA4Cert",
		"onlySomeReasonsCA4compromiseCRL onlySomeReasonsCA4otherreasonsCRL", "revoked",
	},
	{
		"4.14.22", true, "ValidIDPwithindirectCRLTest22EE", "indirectCRLCA1Cert", "indirectCRLCA1CRL", noList +
			"it is an indirect list",
	},
	{
		"4.14.23", false, "InvalidIDPwithindirectCRLTest23EE", "indirectCRLCA1Cert", "indirectCRLCA1CRL", noList +
			"it is an indirect list",
	},
	{
		"4.14.24", true, "ValidIDPwithindirectCRLTest24EE", "indirectCRLCA2Cert indirectCRLCA1Cert", "indirectCRLCA1CRL",
		noList + "it is an indirect list",
	},
	{
		"4.14.25", true, "ValidIDPwithindirectCRLTest25EE", "indirectCRLCA2Cert indirectCRLCA1Cert", "indirectCRLCA1CRL",
		noList + "it is an indirect list",
	},
	{
		"4.14.26", false, "InvalidIDPwithindirectCRLTest26EE", "indirectCRLCA2Cert indirectCRLCA1Cert", "indirectCRLCA1CRL",
		noList + "it is an indirect list",
	},
	{"4.14.27", false, "InvalidcRLIssuerTest27EE", "indirectCRLCA2Cert GoodCACert", "GoodCACRL", "good"},
	{
		"4.14.28", true, "ValidcRLIssuerTest28EE", "indirectCRLCA3Cert indirectCRLCA3cRLIssuerCert",
		"indirectCRLCA3CRL indirectCRLCA3cRLIssuerCRL", noList + "it is an indirect list",
	},
	{
		"4.14.29", true, "ValidcRLIssuerTest29EE", "indirectCRLCA3Cert indirectCRLCA3cRLIssuerCert",
		"indirectCRLCA3CRL indirectCRLCA3cRLIssuerCRL", noList + "it is an indirect list",
	},
	{
		"4.14.30", true, "ValidcRLIssuerTest30EE", "indirectCRLCA4Cert indirectCRLCA4cRLIssuerCert",
		"indirectCRLCA4cRLIssuerCRL", noList + "it is an indirect list",
	},
	{
		"4.14.31", false, "InvalidcRLIssuerTest31EE", "indirectCRLCA5Cert indirectCRLCA6Cert", "indirectCRLCA5CRL", noList +
			"it is an indirect list",
	},
	{
		"4.14.32", false, "InvalidcRLIssuerTest32EE", "indirectCRLCA5Cert indirectCRLCA6Cert", "indirectCRLCA5CRL", noList +
			"it is an indirect list",
	},
	{
		"4.14.33", true, "ValidcRLIssuerTest33EE", "indirectCRLCA5Cert indirectCRLCA6Cert", "indirectCRLCA5CRL", noList +
			"it is an indirect list",
	},
	{
		"4.14.34", false, "InvalidcRLIssuerTest34EE", "indirectCRLCA5Cert", "indirectCRLCA5CRL", noList +
			"it is an indirect list",
	},
	{
		"4.14.35", false, "InvalidcRLIssuerTest35EE", "indirectCRLCA5Cert", "indirectCRLCA5CRL", noList +
			"it is an indirect list",
	},
}

// TestPKITS tries the sections on revocation (4.4), on authorities with several keys (4.5) and on
// distribution points (4.14) of the suite (https://csrc.nist.gov/projects/pki-testing), with the
// files that NIST published, which are in the public domain. Where the outcome is not NIST's,
// docs/security.md says so.
func TestPKITS(t *testing.T) {
	anchor := pkitsCertificate(t, "TrustAnchorRootCertificate")
	docs, err := os.ReadFile("../../docs/security.md")
	require.NoError(t, err)
	for _, tt := range pkitsTests {
		t.Run(tt.number, func(t *testing.T) {
			names := append([]string{"TrustAnchorRootCRL"}, strings.Fields(tt.lists)...)
			require.Equal(t, tt.want, pkitsOutcome(t, tt, anchor, names, false))
			require.Equal(t, tt.want, pkitsOutcome(t, tt, anchor, names, true), "in one file")
			require.Equal(t, tt.valid != (tt.want == crl.Good.String()), strings.Contains(string(docs), "| "+tt.number+" "),
				"docs/security.md has those, and only those, with another outcome than NIST's")
		})
	}
}

func pkitsOutcome(t *testing.T, tt pkitsTest, anchor *x509.Certificate, names []string, bundled bool) string {
	t.Helper()
	var files [][]byte
	var bundle []byte
	for _, name := range names {
		der := pkitsFile(t, name+".crl")
		files = append(files, der)
		bundle = append(bundle, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})...)
	}
	if bundled {
		files = [][]byte{bundle}
	}
	var sources []*crl.Lists
	for _, file := range files {
		lists, err := crl.Parse(file)
		if err != nil {
			why := err.Error()
			why = why[strings.LastIndex(why, ": it ")+2:]
			return noList + why[:strings.IndexAny(why, ",:")]
		}
		sources = append(sources, lists)
	}
	client, err := x509.ParseCertificate(pkitsFile(t, tt.client+".crt"))
	if err != nil {
		return err.Error()
	}
	pool, roots := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(anchor)
	for name := range strings.FieldsSeq(tt.authorities) {
		pool.AddCert(pkitsCertificate(t, name))
	}
	chains, err := client.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if _, unknown := errors.AsType[x509.UnknownAuthorityError](err); unknown {
		return noChain
	}
	require.NoError(t, err)
	best := crl.Revoked
	for _, chain := range chains {
		best = min(best, crl.Check(chain, now, sources...).Status)
	}
	return best.String()
}

func pkitsCertificate(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(pkitsFile(t, name+".crt"))
	require.NoError(t, err)
	return cert
}

func pkitsFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/pkits/" + name)
	require.NoError(t, err)
	return data
}
