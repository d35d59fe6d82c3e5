/*
 * Translations of messages, switched off. With the library of AddressSanitizer
 * loaded before everything else, a server of Debian 12 waits at its start for a
 * lock inside of the C library's own function, which nobody gives back. Messages
 * are in English in the tests anyway.
 */

char *
bindtextdomain(const char *domain, const char *folder)
{
	(void) domain;
	(void) folder;
	return 0;
}

char *
textdomain(const char *domain)
{
	(void) domain;
	return 0;
}
