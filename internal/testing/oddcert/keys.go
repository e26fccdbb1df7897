package oddcert

// Public keys that crypto/x509 makes no certificate for, as `openssl pkey -pubout` prints them.

const explicit = "" +
	"MIIBSzCCAQMGByqGSM49AgEwgfcCAQEwLAYHKoZIzj0BAQIhAP////8AAAABAAAAAAAAAAAAAAAA////////////////MFsEIP////8AAAABAA" +
	"AAAAAAAAAAAAAA///////////////8BCBaxjXYqjqT57PrvVV2mIa8ZR0GsMxTsPY7zjw+J9JgSwMVAMSdNgiG5wSTamZ44ROdJreBn36QBEEE" +
	"axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9QIhAP////8AAAAA//////////" +
	"+85vqtpxeehPO5ysL8YyVRAgEBA0IABNrZDUNlCWgAtvIAblm5yogjwdl7JSaP7WdtTdupvK2b14BLjJZhG79dl6RzGqcqLpbAHwJWLhUPwPh2" +
	"IqWDNKY="

const ed448 = "" +
	"MEMwBQYDK2VxAzoAOgSbW6cBeHHgR1xlkqt0sAZs2ereu9DqLoSdcidgL2f6O6tAhvwFkOFVwtSSz6JBbOiMx+eOc76A"

const dsa = "" +
	"MIIDRjCCAjkGByqGSM44BAEwggIsAoIBAQCMM0lCuHgO4NcbV8eaj6qqXxmT3d7k6WoUTfyMbVegVlkDp0lown0r7aH4IYxxn+JIbqZ6CeSGFQ" +
	"+a2sbwfDgXe69yZ36QDoMQGScW7RLYmpdzTBF8VVDBehMn3oefMb+VNGeBz2xT3IteDv5R3yR5z1QZFA2Z3jeXoUiI+eO+Xwa5WmP9gxNYRoC2" +
	"0RGtVGnX84+El9ya5RfqlUJHRAgEcbpr2OSWO42cYaRRn1efiH61v+hQMbAeb4yjHRqxIAUqlY6lm9mGBl/giqw4c3PT97XuaeocCjAlN/iByQ" +
	"xsIxdz8hCRm9GaNTEwnIf5wVEynldz49enA2orVRlDSQhrAiEAnH4DG3Vj+dpN8oNMUcRl081HT4wSM6uQhJJbHO8IIs0CggEAIRiv38KaJjTc" +
	"oA48R58MMwAyv0NMUlUlWbqY9SDRGIAmxJasmOhsIToiIEnJNRMVK0sTuoIdc855fIxfWecug8JCOfcXTBWIz2TNcyx7VRTHCl6xGwJv8i5HjE" +
	"GQDdCYTLmdn7rW43szTyatYoLYg4EB6oqA+ZFBLScw+0wtT3EqPmV43zUnQ81Dugz0UMr7VH2qkmDWF9ffH3A3R36VC+GSAsYXwpmS2ZpBk0FO" +
	"mRjBU5WuJhhP6I+qGoqdtUoZhTGkViRiTT5QG3oo/W/G/oVxdTOxpIFmZqwphQc8w7C4PE6/1oBVhx0zTVVN/ILGwIrM7E2HpO1POAP4Toq0tQ" +
	"OCAQUAAoIBACjEOnys55kMo+T0xv2+aihpIewRjHRfRTFgnRxKMa/068Wf4phXoi0UJgXWi14rCPoUALz0XtVRfJwSwpcYkuLk7vFslifqJT6H" +
	"GF+QIjP6ft5vzZ/qMKAtSC3qOg2eUng3dnaxNd26kZVCcYroFU87fMgTNvrDbey3Zk7gIbqTDdoDXv+XMnd6zSqcb9Q3XYmtnBKUTkbEl65VHb" +
	"9+9tJUdqabAlQLJMZvEW6L4GlJCidKnHs48P/lkFTpHdPhULCYtiZLoRBudNGzu8wopFkxcQl3b5Mmr4bxD1CxFUTPhbbj3dtfnwyXXaniepbo" +
	"EhG13SRj/cH1m0IbOs/1wpQ="
