"""What did the operator write, is it valid, and where does it stand?"""
