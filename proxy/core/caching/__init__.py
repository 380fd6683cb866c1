"""What may be stored, and for whom may it be used again? (RFC 9111, 9211)"""
